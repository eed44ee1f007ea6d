"""What a gateway knows of the whole: the model, the workers, the backlog and how fast it drains."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from pydantic import ValidationError

from shared.card import ModelCard, ModelRef
from shared.errors import (
    BrokerUnavailable,
    ModelUnknown,
    NoWorker,
    RecordIncompatible,
    SepalError,
    Stalled,
    WorkerCannotLoad,
)
from shared.names import Queue
from shared.store.status import Overview
from shared.store.transport import StoreRefused

_TICK_SECONDS: Final = 1.0
_UNREADY_TICK_SECONDS: Final = 0.2  # somebody is waiting for the first worker, or for the broker to come back
_SMOOTHING: Final = 0.3  # of an exponential moving average over ticks: a burst counts for about three seconds
_LONGEST_RETRY_SECONDS: Final = 60
_LONGEST_WAIT_SECONDS: Final = 1e6  # of a drain that has dried up, whose rate goes towards nothing
_BATCHES_A_POOL_PROCESS: Final = 1  # with 2, a tenth slower at 32 and 128 connections: docs/decisions/0010

_BEFORE: Final = {Queue.INTERACTIVE: (Queue.INTERACTIVE,), Queue.BULK: tuple(Queue)}
"""Whose rows go before those of a queue."""

log = structlog.get_logger(__name__)


class Pulse:
    """Looks at the store once a second; everybody else asks here, without a round trip."""

    def __init__(
        self, look: Callable[[], Awaitable[Overview]], has_link: Callable[[], bool], stalled_after_seconds: float
    ) -> None:
        self._look = look
        self._has_link = has_link
        self._stalled_after_seconds = stalled_after_seconds
        self.overview: Overview | None = None
        """As of the last look; None where that failed."""
        self._looked_at = 0.0
        self._moved_at = 0.0
        self._drain_rate = 0.0
        self._retry_after = dict.fromkeys(Queue, 1)
        self._card_json: bytes | None = None
        self._card: ModelCard | None = None
        self._model_ref = b""

    async def current_card(self) -> ModelCard:
        """The card that rows are validated against; where none is known yet, the store is asked at once.

        Raises:
            ModelUnknown: no worker has ever announced one.
            RecordIncompatible: another version of Sepal wrote it.
        """
        if self._card is None:
            await self.look()
        return self.card

    @property
    def card(self) -> ModelCard:
        """The card as of the last look.

        Raises:
            ModelUnknown: there was none.
            RecordIncompatible: another version of Sepal wrote it.
        """
        if self._card is None:
            raise RecordIncompatible if self._card_json else ModelUnknown
        return self._card

    @property
    def model(self) -> ModelRef | None:
        """The card's name, version and digest; None while there is no card."""
        return None if self._card is None else self._card.ref

    @property
    def model_ref(self) -> bytes:
        """The card's name, version and digest, as JSON; empty while there is no card."""
        return self._model_ref

    @property
    def sees_broker(self) -> bool:
        """Whether the last look succeeded."""
        return self.overview is not None

    def allowance(self) -> int:
        """How many interactive batches this gateway may have under way: its share of what the workers can take."""
        if self.overview is None:
            return 1
        of_all = self.overview.pool_processes * _BATCHES_A_POOL_PROCESS
        return max(1, math.ceil(of_all / max(1, self.overview.gateways)))

    def unready_reasons(self) -> list[SepalError]:
        """Why a prediction sent now would not be answered; empty when it would."""
        if self.overview is None or not self._has_link():
            return [BrokerUnavailable()]
        reasons: list[SepalError] = []
        if self._card is None:
            reasons.append(RecordIncompatible() if self._card_json else ModelUnknown())
        if self.overview.pool_processes == 0:
            reasons.append(NoWorker())
            if self.overview.load_failure is not None:
                reasons.append(WorkerCannotLoad(self.overview.load_failure.code, self.overview.load_failure.remedy))
        elif self._looked_at - self._moved_at > self._stalled_after_seconds:
            reasons.append(Stalled())
        return reasons

    def predicted_wait(self, queue: Queue) -> float:
        """Seconds until rows that join a queue now should be final; 0 where nothing is known of the drain."""
        if self.overview is None or self._drain_rate <= 0:
            return 0
        return min(self.overview.backlog(*_BEFORE[queue]) / self._drain_rate, _LONGEST_WAIT_SECONDS)

    def retry_after(self, queue: Queue = Queue.BULK) -> int:
        """Seconds until what waits before new rows of a queue should be gone: at least 1, and no more than a minute."""
        return self._retry_after[queue]

    async def beat(self, chores: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Look for ever, and do the chores after each look, whatever became of it."""
        while True:
            for act in (self.look, *chores):
                try:
                    await act()
                except Exception:
                    log.exception("a look at the store failed")  # a gateway that stopped would serve an old card
            await asyncio.sleep(_UNREADY_TICK_SECONDS if self.unready_reasons() else _TICK_SECONDS)

    async def look(self) -> None:
        """Look once."""
        try:
            overview = await self._look()
        except (BrokerUnavailable, StoreRefused) as error:
            if self.overview is not None:
                log.warning("the broker cannot be reached", reason=str(error.__cause__))
            self.overview = None
            self._retry_after = dict.fromkeys(Queue, 1)
            return
        self._measure_drain(overview)
        self.overview = overview
        for queue in Queue:
            self._retry_after[queue] = max(1, min(math.ceil(self.predicted_wait(queue)), _LONGEST_RETRY_SECONDS))
        if overview.card is not None and overview.card != self._card_json:
            self._take_card(overview.card)

    def _measure_drain(self, overview: Overview) -> None:
        now = time.monotonic()
        before = self.overview
        n_drained = 0 if before is None else overview.drained_rows - before.drained_rows
        # Only while rows wait all the time does what leaves say how fast the workers are, and not how much there was.
        if before is not None and before.backlog(*Queue) > 0 and overview.backlog(*Queue) > 0:
            rate = n_drained / (now - self._looked_at)
            self._drain_rate += (rate - self._drain_rate) * (_SMOOTHING if self._drain_rate else 1)
        if before is None or n_drained or not overview.backlog(*Queue) or not overview.pool_processes:
            self._moved_at = now
        self._looked_at = now

    def _take_card(self, card_json: bytes) -> None:
        self._card_json, self._card = card_json, None
        try:
            card = ModelCard.model_validate_json(card_json)
        except ValidationError as error:
            log.error("cannot read the card that a worker announced", reason=str(error))
            return
        self._card, self._model_ref = card, card.ref.model_dump_json().encode()
        log.info("took a model card", name=card.name, version=card.version, digest=card.digest)
