"""Follows a prediction: yields each change that a client has not seen, until the prediction is final.

The numbers of the changes come from the store, so that a client can reconnect to any gateway.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

import msgspec

from shared.errors import BrokerUnavailable, TooManyWaiters
from shared.ids import PredictionId
from shared.names import FINAL_STATES, State
from shared.store.bulk import BulkPrediction, BulkStore
from shared.store.lookups import Lookups, Prediction

_SHORTEST_PAUSE_SECONDS: Final = 0.01
_MAX_READS_PER_SECOND: Final = 2000  # of all clients together, as far as the longest pause allows
_LONGEST_PAUSE_SECONDS: Final = 0.5
_PAUSE_SHARE: Final = 0.1  # of the time for which a client has followed: an event is late by a tenth of that at most
_MAX_SILENCE_SECONDS: Final = 15.0  # proxies close a connection that is idle for a minute


class Change(msgspec.Struct, frozen=True):
    """The state of a prediction after a change."""

    number: int
    prediction: Prediction | BulkPrediction

    @property
    def is_end(self) -> bool:
        """Whether the prediction is final, so that no change follows."""
        return self.prediction.state in FINAL_STATES


class Events:
    """Follows predictions for the clients of one gateway process."""

    def __init__(self, store: BulkStore, lookups: Lookups, max_clients: int) -> None:
        self._store = store
        self._lookups = lookups
        self._max_clients = max_clients
        self._n_clients = 0

    async def read_latest(self, prediction_id: PredictionId) -> Change:
        """Read the latest change.

        Raises:
            TooManyWaiters: `max_clients` clients already follow a prediction.
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `Lookups.read`.
        """
        if self._n_clients >= self._max_clients:
            raise TooManyWaiters
        return await self._read_change(prediction_id)

    async def follow(
        self,
        prediction_id: PredictionId,
        latest_change: Change,
        last_seen_number: int | None,
        stop_event: asyncio.Event,
    ) -> AsyncGenerator[Change | None]:
        """Yield changes until the prediction is final, and None after each 15 seconds without a change.

        Args:
            prediction_id: the prediction's id.
            latest_change: the latest change, from `read_latest`.
            last_seen_number: the number of the last change that the client has seen; None if it has seen none.
            stop_event: ends the iteration once it is set.
        """
        self._n_clients += 1
        try:
            began = yielded_at = time.monotonic()
            while True:
                is_new = latest_change.number != last_seen_number
                if is_new or time.monotonic() - yielded_at > _MAX_SILENCE_SECONDS:
                    yield latest_change if is_new else None
                    last_seen_number, yielded_at = latest_change.number, time.monotonic()
                if latest_change.is_end or stop_event.is_set():
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop_event.wait(), pause_seconds(time.monotonic() - began, self._n_clients))
                with suppress(BrokerUnavailable):  # keep the connection to the client
                    latest_change = await self._read_change(prediction_id)
        finally:
            self._n_clients -= 1

    async def _read_change(self, prediction_id: PredictionId) -> Change:
        if prediction_id.is_stored:
            stored = await self._store.read(prediction_id)
            return Change(stored.event, stored)
        prediction = await self._lookups.read(prediction_id)
        return Change(_change_number(prediction), prediction)


def pause_seconds(followed_seconds: float, n_clients: int) -> float:
    """Return how many seconds to wait before the prediction is read again.

    Args:
        followed_seconds: how long the client has followed the prediction.
        n_clients: how many clients follow predictions at this gateway process.
    """
    shortest = max(_SHORTEST_PAUSE_SECONDS, n_clients / _MAX_READS_PER_SECOND)
    return min(max(shortest, _PAUSE_SHARE * followed_seconds), _LONGEST_PAUSE_SECONDS)


def _change_number(prediction: Prediction) -> int:
    """Return the number of the latest change of a prediction that is not stored: it grows with its state and rows."""
    if prediction.state in FINAL_STATES:
        return prediction.rows_total + 2
    return prediction.rows_done + (prediction.state is not State.QUEUED)
