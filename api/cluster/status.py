"""The cluster status: workers, model and backlog, as of the last refresh from the store."""

import math
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from api.cluster.backlog import BacklogForecast
from api.cluster.model import CurrentModel
from api.cluster.throughput import Throughput
from shared.card import ModelCard
from shared.errors import BrokerUnavailable, NoWorker, SepalError, Stalled, WorkerCannotLoad
from shared.names import Queue
from shared.store.status import Overview
from shared.store.transport import StoreRefused

_BATCHES_PER_POOL_PROCESS: Final = 1  # with 2, a tenth slower at 32 and 128 connections: docs/decisions/0010

log = structlog.get_logger(__name__)


class ClusterStatus:
    """The last overview and what was derived from it; refreshed once a second, so that reads need no round trip."""

    def __init__(
        self,
        read_overview: Callable[[], Awaitable[Overview]],
        is_connected: Callable[[], bool],
        stalled_after_seconds: float,
    ) -> None:
        self._read_overview = read_overview
        self._is_connected = is_connected
        self._stalled_after_seconds = stalled_after_seconds
        self.model = CurrentModel()
        self.backlog = BacklogForecast()
        self.throughput = Throughput()
        self.overview: Overview | None = None
        """From the last refresh; None if that failed."""

    async def refresh(self) -> None:
        """Read the overview; set it to None if the store is unavailable."""
        try:
            overview = await self._read_overview()
        except (BrokerUnavailable, StoreRefused) as error:
            if self.overview is not None:
                log.warning("the broker is unavailable", reason=str(error.__cause__))
            self.overview = None
            self.backlog.clear_backlog()
            self.throughput.clear()
            return
        self.overview = overview
        self.backlog.measure(overview)
        self.throughput.measure(overview)
        if overview.card is not None:
            self.model.replace(overview.card)

    async def current_card(self) -> ModelCard:
        """Return the card that rows are validated against; without a card, refresh first.

        Raises:
            ModelUnknown: no worker has announced one.
            RecordIncompatible: another version of Sepal wrote it.
        """
        if self.model.missing_error is not None:
            await self.refresh()
        return self.model.card

    def allowance(self) -> int:
        """Return how many interactive batches may be under way: this gateway's share of their pool processes, or 1."""
        if self.overview is None:
            return 1
        allowed = self.overview.queue_processes[Queue.INTERACTIVE] * _BATCHES_PER_POOL_PROCESS
        return max(1, math.ceil(allowed / max(1, self.overview.gateways)))

    def unready_reasons(self) -> list[SepalError]:
        """List the reasons why a prediction sent now would not be answered; empty if it would be."""
        if self.overview is None or not self._is_connected():
            return [BrokerUnavailable()]
        reasons = [reason for reason in [self.model.missing_error] if reason is not None]
        if self.overview.queue_processes[Queue.INTERACTIVE] == 0:
            reasons.append(NoWorker())
            if self.overview.load_failure is not None:
                reasons.append(WorkerCannotLoad(self.overview.load_failure.code, self.overview.load_failure.reason))
        elif self.backlog.stalled_seconds > self._stalled_after_seconds:
            reasons.append(Stalled())
        return reasons
