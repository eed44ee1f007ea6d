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


class BacklogForecast:
    """Measures the drain rate of each queue from one overview to the next. Rows of bulk predictions do not count."""

    def __init__(self) -> None:
        self._overview: Overview | None = None
        self._measured_at = 0.0
        self._progressed_at = dict.fromkeys(Queue, 0.0)
        self._drain_rates = dict.fromkeys(Queue, 0.0)  # rows a second
        self._retry_after = dict.fromkeys(Queue, 1)

    def measure(self, overview: Overview) -> None:
        """Update the drain rates and the predicted waits from the next overview."""
        now, before, self._overview = time.monotonic(), self._overview, overview
        for queue in Queue:
            if before is None:
                self._progressed_at[queue] = now
            else:
                self._measure_queue(queue, before, overview, now)
        self._measured_at = now
        for queue in Queue:
            self._retry_after[queue] = max(1, min(math.ceil(self.predicted_wait(queue)), _LONGEST_RETRY_SECONDS))

    def _measure_queue(self, queue: Queue, previous_overview: Overview, overview: Overview, now: float) -> None:
        n_drained, waiting = overview.final_rows[queue] - previous_overview.final_rows[queue], overview.backlog(queue)
        # The rate measures the workers only while rows wait all the time; otherwise it measures the arrivals.
        if previous_overview.backlog(queue) > 0 and waiting > 0:
            rate, average = n_drained / (now - self._measured_at), self._drain_rates[queue]
            self._drain_rates[queue] += (rate - average) * (_SMOOTHING if average else 1)
        # A pool process that runs the batches of both queues runs the interactive ones first.
        is_behind = queue is Queue.BULK and overview.final_rows != previous_overview.final_rows
        if n_drained or is_behind or not waiting or not overview.queue_processes[queue]:
            self._progressed_at[queue] = now

    def clear_backlog(self) -> None:
        """Clear the backlog but keep the drain rates, because the store is unavailable."""
        self._overview = None
        self._retry_after = dict.fromkeys(Queue, 1)

    @property
    def stalled_seconds(self) -> float:
        """Seconds for which rows of a queue have waited and pool processes have run it, but no row has become final."""
        return self._measured_at - min(self._progressed_at.values())

    def predicted_wait(self, queue: Queue) -> float:
        """Predict the seconds until rows that join a queue now are final; 0 if the drain rate is unknown."""
        rate = self._drain_rates[queue]
        if self._overview is None or rate <= 0:
            return 0
        return min(self._overview.backlog(queue) / rate, _LONGEST_WAIT_SECONDS)

    def retry_after(self, queue: Queue = Queue.BULK) -> int:
        """Return the value of `Retry-After`: the predicted wait of a queue, from 1 to 60 seconds."""
        return self._retry_after[queue]
