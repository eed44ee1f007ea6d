"""The rows of each queue that become final per second, including those of bulk predictions."""

import time
from collections import deque
from typing import Final

from shared.names import Queue
from shared.store.status import Overview

_WINDOW_SECONDS: Final = 5.0


class Throughput:
    """Measures the throughput over the overviews of the last five seconds."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, dict[Queue, int]]] = deque()  # when, and the rows final until then

    def measure(self, overview: Overview) -> None:
        """Add the next overview."""
        now = time.monotonic()
        self._readings.append((now, {queue: _final_rows(overview, queue) for queue in Queue}))
        while now - self._readings[0][0] > _WINDOW_SECONDS and len(self._readings) > 2:
            self._readings.popleft()

    def clear(self) -> None:
        """Discard all readings, because the store is unavailable."""
        self._readings.clear()

    def rows_per_second(self, queue: Queue) -> float | None:
        """Return the rows that became final per second; None until there are two overviews."""
        if len(self._readings) < 2:
            return None
        (began, first), (now, last) = self._readings[0], self._readings[-1]
        return max(0, last[queue] - first[queue]) / (now - began)


def waiting_rows(overview: Overview, queue: Queue) -> int:
    """Return the rows of a queue that are not yet final, including those of bulk predictions."""
    return overview.backlog(queue) + (overview.stored.backlog if queue is Queue.BULK else 0)


def _final_rows(overview: Overview, queue: Queue) -> int:
    return overview.final_rows[queue] + (overview.stored.final_rows if queue is Queue.BULK else 0)
