"""How fast the backlog drains, and so how long new rows will wait."""

import math
import time
from typing import Final

from shared.names import Queue
from shared.store.status import Overview

_SMOOTHING: Final = 0.3  # of an exponential moving average over refreshes: a burst counts for about three seconds
_LONGEST_RETRY_SECONDS: Final = 60
_LONGEST_WAIT_SECONDS: Final = 1e6  # where the drain rate has fallen to nearly nothing

_BEFORE: Final = {Queue.INTERACTIVE: (Queue.INTERACTIVE,), Queue.BULK: tuple(Queue)}
"""For each queue, the queues whose rows are predicted before its own."""


class BacklogForecast:
    """Measures the drain rate from one overview to the next."""

    def __init__(self) -> None:
        self._overview: Overview | None = None
        self._measured_at = 0.0
        self._moved_at = 0.0
        self._drain_rate = 0.0  # rows a second
        self._retry_after = dict.fromkeys(Queue, 1)

    def measure(self, overview: Overview) -> None:
        """Take the next overview."""
        now, before, self._overview = time.monotonic(), self._overview, overview
        n_drained = 0 if before is None else overview.drained_rows - before.drained_rows
        # The rate says how fast the workers are only while rows wait the whole time; otherwise it says how many came.
        if before is not None and before.backlog(*Queue) > 0 and overview.backlog(*Queue) > 0:
            rate = n_drained / (now - self._measured_at)
            self._drain_rate += (rate - self._drain_rate) * (_SMOOTHING if self._drain_rate else 1)
        if before is None or n_drained or not overview.backlog(*Queue) or not overview.pool_processes:
            self._moved_at = now
        self._measured_at = now
        for queue in Queue:
            self._retry_after[queue] = max(1, min(math.ceil(self.predicted_wait(queue)), _LONGEST_RETRY_SECONDS))

    def forget(self) -> None:
        """The store cannot be reached: keep the drain rate, and forget what waits."""
        self._overview = None
        self._retry_after = dict.fromkeys(Queue, 1)

    @property
    def still_seconds(self) -> float:
        """Seconds for which rows have waited and none has become final, although a worker lives."""
        return self._measured_at - self._moved_at

    def predicted_wait(self, queue: Queue) -> float:
        """Seconds until rows that join a queue now should be final; 0 while no drain rate is known."""
        if self._overview is None or self._drain_rate <= 0:
            return 0
        return min(self._overview.backlog(*_BEFORE[queue]) / self._drain_rate, _LONGEST_WAIT_SECONDS)

    def retry_after(self, queue: Queue = Queue.BULK) -> int:
        """The value of `Retry-After`, from 1 to 60 seconds: until the rows before new ones of a queue are final."""
        return self._retry_after[queue]
