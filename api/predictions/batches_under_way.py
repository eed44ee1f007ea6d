"""Decides when the next batch may leave: it counts the batches under way, and pauses after a slow one.

The clients of an answered batch often send their next requests immediately. If they share the next batch with the
predictions that have gathered, a slow pipeline runs half as often (docs/decisions/0010-batches-form-themselves.md).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.ids import BatchId

_UNDER_WAY_SECONDS: Final = 1.0
"""After this time a batch no longer counts as under way: its worker may be lost or slow."""
_REQUEST_SECONDS: Final = 0.2e-3
"""About the gateway's time for one request. There is no pause if all requests take longer than the pipeline."""
_SLOW_SECONDS: Final = 2e-3
"""No pause follows a batch that was evaluated in less time."""
_QUIET_SECONDS: Final = 2e-3
"""A pause ends when no request has arrived for this long."""
_PAUSE_SHARE: Final = 0.5
"""The maximum length of a pause, as a fraction of the time in which the batch was evaluated."""


@dataclass(slots=True)
class _Pause:
    """Keeps the place of an answered batch while its clients are expected to send their next requests."""

    ends_at: float
    n_expected: int
    n_came: int = 0


class BatchesUnderWay:
    """The batches that count as under way; the allowance limits their number."""

    def __init__(self, allowance: Callable[[], int], on_place_free: Callable[[], None]) -> None:
        """Start without any batch; `on_place_free` is called whenever a batch no longer counts."""
        self._allowance = allowance
        self._on_place_free = on_place_free
        self._timers: dict[BatchId, asyncio.TimerHandle] = {}
        self._pauses: dict[BatchId, _Pause] = {}

    def has_place(self) -> bool:
        """Return whether another batch may leave."""
        return len(self._timers) < self._allowance()

    def add(self, batch_id: BatchId) -> None:
        """Count a batch that leaves, until it is removed, answered or under way for too long."""
        self._timers[batch_id] = asyncio.get_running_loop().call_later(_UNDER_WAY_SECONDS, self.remove, batch_id)

    def remove(self, batch_id: BatchId) -> None:
        """Stop counting a batch, if it still counts."""
        timer = self._timers.pop(batch_id, None)
        if timer is not None:
            timer.cancel()
            self._pauses.pop(batch_id, None)
            self._on_place_free()

    def remove_answered(self, batch_id: BatchId, predict_us: int, n_clients: int, n_gathered_predictions: int) -> None:
        """Stop counting an answered batch: immediately, or after a pause if it was slow and had several clients.

        Args:
            batch_id: a batch that may have lost its place already.
            predict_us: the time in which the batch was evaluated, in microseconds.
            n_clients: the predictions of the batch that a client still waits for.
            n_gathered_predictions: the predictions in open batches.
        """
        seconds = predict_us / 1e6
        n_requests = n_clients + n_gathered_predictions
        if not n_clients or n_requests < 2 or seconds < max(_SLOW_SECONDS, n_requests * _REQUEST_SECONDS):
            self.remove(batch_id)
        elif batch_id in self._timers:
            now = asyncio.get_running_loop().time()
            self._pauses[batch_id] = _Pause(now + seconds * _PAUSE_SHARE, n_clients)
            self._schedule_quiet_check(batch_id, _QUIET_SECONDS + n_clients * _REQUEST_SECONDS)

    def count_request(self) -> None:
        """Count a new request, and end the pauses that expect no further one."""
        for batch_id, pause in list(self._pauses.items()):
            pause.n_came += 1
            if pause.n_came == pause.n_expected:
                self.remove(batch_id)

    def _schedule_quiet_check(self, batch_id: BatchId, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        pause = self._pauses[batch_id]
        self._timers[batch_id].cancel()
        self._timers[batch_id] = loop.call_later(seconds, self._end_if_quiet, batch_id, pause, pause.n_came)

    def _end_if_quiet(self, batch_id: BatchId, pause: _Pause, n_requests: int) -> None:
        if pause.n_came == n_requests or asyncio.get_running_loop().time() > pause.ends_at:
            self.remove(batch_id)
        else:
            self._schedule_quiet_check(batch_id, _QUIET_SECONDS)
