"""The drain rate of the backlog, and the predicted wait of new rows."""

import math
import time
from typing import Final

from shared.names import Queue
from shared.store.status import Overview

_SMOOTHING: Final = (
    0.3  # factor of the exponential moving average over refreshes; a burst counts for about three seconds
)
_LONGEST_RETRY_SECONDS: Final = 60
_LONGEST_WAIT_SECONDS: Final = 1e6  # limits the predicted wait when the drain rate is near zero

_BEFORE: Final = {Queue.INTERACTIVE: (Queue.INTERACTIVE,), Queue.BULK: tuple(Queue)}
"""For each queue, the queues whose rows are predicted before its new rows."""


class BacklogForecast:
    """Measures the drain rate from one overview to the next."""

    def __init__(self) -> None:
        self._overview: Overview | None = None
        self._measured_at = 0.0
        self._progressed_at = 0.0
        self._drain_rate = 0.0  # rows a second
        self._retry_after = dict.fromkeys(Queue, 1)

    def measure(self, overview: Overview) -> None:
        """Update the drain rate and the predicted waits from the next overview."""
        now, before, self._overview = time.monotonic(), self._overview, overview
        n_drained = 0 if before is None else overview.drained_rows - before.drained_rows
        # The rate measures the workers only while rows wait all the time; otherwise it measures the arrivals.
        if before is not None and before.backlog(*Queue) > 0 and overview.backlog(*Queue) > 0:
            rate = n_drained / (now - self._measured_at)
            self._drain_rate += (rate - self._drain_rate) * (_SMOOTHING if self._drain_rate else 1)
        if before is None or n_drained or not overview.backlog(*Queue) or not overview.pool_processes:
            self._progressed_at = now
        self._measured_at = now
        for queue in Queue:
            self._retry_after[queue] = max(1, min(math.ceil(self.predicted_wait(queue)), _LONGEST_RETRY_SECONDS))

    def forget(self) -> None:
        """Clear the backlog but keep the drain rate, because the store cannot be reached."""
        self._overview = None
        self._retry_after = dict.fromkeys(Queue, 1)

    @property
    def stalled_seconds(self) -> float:
        """Seconds for which rows have waited and none has become final, although pool processes are loaded."""
        return self._measured_at - self._progressed_at

    def predicted_wait(self, queue: Queue) -> float:
        """Predict the seconds until rows that join a queue now are final; 0 if the drain rate is unknown."""
        if self._overview is None or self._drain_rate <= 0:
            return 0
        return min(self._overview.backlog(*_BEFORE[queue]) / self._drain_rate, _LONGEST_WAIT_SECONDS)

    def retry_after(self, queue: Queue = Queue.BULK) -> int:
        """Return the value of `Retry-After`: the predicted wait of a queue, from 1 to 60 seconds."""
        return self._retry_after[queue]
