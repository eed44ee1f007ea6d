"""Wakes the requests that wait.

What is published on a gateway's reply channel is a hint and the store is the truth: waiters are looked up in the store
whenever the subscription is made anew, and every few seconds in any case.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from shared.errors import BrokerUnavailable, PredictionGone, PredictionNotFound, RecordIncompatible
from shared.ids import BatchId, PredictionId
from shared.names import FINAL
from shared.store.lookups import Prediction, answered_prediction
from shared.store.records import AlienMessage, Outcome, read_announcement
from shared.store.transport import StoreRefused

_RECHECK_SECONDS: Final = 5.0  # the price of a lost message; a thousand batches cost 200 reads a second

log = structlog.get_logger(__name__)

Read = Callable[[Sequence[PredictionId]], Awaitable[list[Prediction]]]


class Waiter(msgspec.Struct, eq=False):
    """One request that waits for one prediction."""

    prediction_id: PredictionId
    n_rows: int
    answer: asyncio.Future[Prediction | None]
    """None where the wait was over first."""
    joined_ns: int
    """On the monotonic clock."""
    deadline_us: int = 0
    """By the store's clock; 0 for none."""
    gathered_us: int = 0
    """Microseconds that its rows waited in the gateway for their batch to leave."""

    def stop(self) -> None:
        """End the wait without an answer."""
        if not self.answer.done():
            self.answer.set_result(None)


@dataclass(slots=True, eq=False)
class Expected:
    """The waiters of one batch, or of the one prediction that spans many."""

    id: BatchId
    model: bytes
    """The model's reference, as JSON."""
    waiters: list[Waiter] = field(default_factory=list)
    """In the order of their places."""
    n_given: int = 0
    """How many of them took their answer to a client."""
    is_doubtful: bool = False
    """Whether one of them may have been canceled: then only the store knows how each has ended."""
    checked_at: float = field(default_factory=time.monotonic)

    def add(self, prediction_id: PredictionId, n_rows: int, deadline_us: int = 0) -> Waiter:
        """Start to wait for a prediction."""
        answer: asyncio.Future[Prediction | None] = asyncio.get_running_loop().create_future()
        waiter = Waiter(prediction_id, n_rows, answer, time.monotonic_ns(), deadline_us)
        self.waiters.append(waiter)
        return waiter

    def fits(self, outcome: Outcome) -> bool:
        """Whether there is an end for each waiter: a spanning prediction's outcomes are in the store alone."""
        is_spanning = self.waiters[0].prediction_id.spans_batches
        return len(outcome.members) == len(self.waiters) and not is_spanning

    def settle(self, outcome: Outcome, finished_us: int) -> None:
        """Give every waiter its own part of the outcome."""
        for waiter in self.waiters:
            if not waiter.answer.done():
                answered = answered_prediction(
                    outcome.members[waiter.prediction_id.place],
                    outcome,
                    waiter.n_rows,
                    self.model,
                    gathered_us=waiter.gathered_us,
                    is_late=0 < waiter.deadline_us < finished_us,
                )
                waiter.answer.set_result(answered)

    @property
    def n_waiting(self) -> int:
        """Requests that still wait for it."""
        return sum(not waiter.answer.done() for waiter in self.waiters)

    def stop_waiting(self) -> None:
        """End every wait without an answer."""
        for waiter in self.waiters:
            waiter.stop()

    def fail(self, error: Exception) -> None:
        """Give every waiter the reason why there will be no answer."""
        for waiter in self.waiters:
            if not waiter.answer.done():
                waiter.answer.set_exception(error)


class Replies:
    """What this process waits for, by batch."""

    def __init__(self, read: Read, on_final: Callable[[BatchId], None], on_alien: Callable[[], None]) -> None:
        self._read = read
        self._on_final = on_final
        self._on_alien = on_alien
        self._expected: dict[BatchId, Expected] = {}
        self._look_ups: set[asyncio.Task[None]] = set()

    def expect(self, expected: Expected) -> None:
        """Start to wait, before the batch is submitted: its answer may be faster than the submission's."""
        self._expected[expected.id] = expected

    @property
    def n_waiting(self) -> int:
        """Requests that wait for batches that have left."""
        return sum(expected.n_waiting for expected in self._expected.values())

    def forget(self, batch_id: BatchId) -> None:
        """Stop waiting for a batch."""
        self._expected.pop(batch_id, None)

    def stop_waiting(self) -> None:
        """End every wait without an answer."""
        for expected in self._expected.values():
            expected.stop_waiting()

    def receive(self, message: bytes) -> None:
        """Hand out what was published on the reply channel."""
        try:
            batch_id, finished_us, outcome = read_announcement(message)
        except AlienMessage as error:
            self._on_alien()
            log.warning("ignored an alien message on the reply channel", reason=str(error), begins=repr(message[:80]))
            return
        expected = self._expected.get(batch_id)
        if expected is None:
            self._on_final(batch_id)
        elif outcome is None or expected.is_doubtful or not expected.fits(outcome):
            expected.is_doubtful = True
            task = asyncio.get_running_loop().create_task(self._look_up(expected))
            self._look_ups.add(task)
            task.add_done_callback(self._look_ups.discard)
        else:
            del self._expected[batch_id]
            self._on_final(batch_id)
            expected.settle(outcome, finished_us)

    async def recheck(self) -> None:
        """Look up what has waited for long: its message may have been lost."""
        await self._look_up_older(time.monotonic() - _RECHECK_SECONDS)

    async def recheck_all(self) -> None:
        """Look up everything: messages were lost with the subscription."""
        await self._look_up_older(time.monotonic())

    async def _look_up_older(self, checked_before: float) -> None:
        for expected in list(self._expected.values()):
            if expected.checked_at < checked_before:
                expected.checked_at = time.monotonic()
                await self._look_up(expected)

    async def _look_up(self, expected: Expected) -> None:
        """Ask the store about every waiter of a batch, in one round trip."""
        waiters = [waiter for waiter in expected.waiters if not waiter.answer.done()]
        if waiters:
            try:
                predictions = await self._read([waiter.prediction_id for waiter in waiters])
            except (PredictionNotFound, PredictionGone, RecordIncompatible, StoreRefused, BrokerUnavailable):
                return  # not submitted yet, or to be asked again
            for waiter, prediction in zip(waiters, predictions, strict=True):
                if prediction.state in FINAL and not waiter.answer.done():
                    waiter.answer.set_result(prediction)
        if all(waiter.answer.done() for waiter in expected.waiters):
            self.forget(expected.id)
            self._on_final(expected.id)
