"""Waiting requests, and the pending batches whose outcomes they wait for."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from shared.ids import BatchId, PredictionId
from shared.names import FINAL_STATES
from shared.store.lookups import Prediction, prediction_from_outcome
from shared.store.records import Outcome


class Waiter(msgspec.Struct, eq=False):
    """One request that waits for one prediction."""

    prediction_id: PredictionId
    n_rows: int
    answer: asyncio.Future[Prediction | None]
    """None if the wait ended first."""
    joined_ns: int
    """On the monotonic clock."""
    deadline_us: int = 0
    """By the store's clock; 0 for none."""
    gathered_us: int = 0
    """Microseconds that its rows waited in an open batch."""

    def stop(self) -> None:
        """Release the waiter without a result."""
        if not self.answer.done():
            self.answer.set_result(None)


@dataclass(slots=True, eq=False)
class PendingBatch:
    """The waiters of one batch, or of the one prediction that spans several batches."""

    id: BatchId
    model: bytes
    """The model's reference, as JSON."""
    waiters: list[Waiter] = field(default_factory=list)
    """In the order of their indices."""
    n_answered: int = 0
    """Number of waiters whose client has received the result."""
    needs_look_up: bool = False
    """Whether the final states must be read from the store, because a prediction may have been canceled."""
    checked_at: float = field(default_factory=time.monotonic)
    """Time of the last look-up, on the monotonic clock."""

    def add(self, prediction_id: PredictionId, n_rows: int, deadline_us: int = 0) -> Waiter:
        """Add a waiter for a prediction."""
        answer: asyncio.Future[Prediction | None] = asyncio.get_running_loop().create_future()
        waiter = Waiter(prediction_id, n_rows, answer, time.monotonic_ns(), deadline_us)
        self.waiters.append(waiter)
        return waiter

    @property
    def unresolved_waiters(self) -> list[Waiter]:
        """The waiters that have not been resolved or released."""
        return [waiter for waiter in self.waiters if not waiter.answer.done()]

    def is_answered_by(self, outcome: Outcome) -> bool:
        """Return whether a published outcome resolves every waiter, without a look-up in the store."""
        is_spanning = self.waiters[0].prediction_id.spans_batches
        return not self.needs_look_up and not is_spanning and len(outcome.members) == len(self.waiters)

    def resolve(self, outcome: Outcome, finished_us: int) -> None:
        """Give every waiter its part of the outcome."""
        for waiter in self.unresolved_waiters:
            answered = prediction_from_outcome(
                outcome.members[waiter.prediction_id.index],
                outcome,
                waiter.n_rows,
                self.model,
                gathered_us=waiter.gathered_us,
                is_late=0 < waiter.deadline_us < finished_us,
            )
            waiter.answer.set_result(answered)

    def resolve_final(self, waiters: Sequence[Waiter], predictions: Sequence[Prediction]) -> None:
        """Resolve waiters with their predictions from the store, if these are final."""
        for waiter, prediction in zip(waiters, predictions, strict=True):
            if prediction.state in FINAL_STATES and not waiter.answer.done():
                waiter.answer.set_result(prediction)

    def stop_waiting(self) -> None:
        """Release all waiters without a result."""
        for waiter in self.waiters:
            waiter.stop()

    def fail(self, error: Exception) -> None:
        """Raise an error in every waiting request."""
        for waiter in self.unresolved_waiters:
            waiter.answer.set_exception(error)
