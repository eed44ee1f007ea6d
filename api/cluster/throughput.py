"""How many rows of each queue become final in a second, those of bulk predictions included."""

import time
from collections import deque
from typing import Final

from shared.names import Queue
from shared.store.status import Overview

_WINDOW_SECONDS: Final = 5.0


class Throughput:
    """Measures over the last five seconds of overviews."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, dict[Queue, int]]] = deque()  # when, and the rows final until then

    def measure(self, overview: Overview) -> None:
        """Add the next overview."""
        now = time.monotonic()
        self._readings.append((now, {queue: _final_rows(overview, queue) for queue in Queue}))
        while now - self._readings[0][0] > _WINDOW_SECONDS and len(self._readings) > 2:
            self._readings.popleft()

    def forget(self) -> None:
        """Begin anew, because the store cannot be reached."""
        self._readings.clear()

    def rows_per_second(self, queue: Queue) -> float | None:
        """Return the rows that became final in a second; None until there are two overviews."""
        if len(self._readings) < 2:
            return None
        (began, first), (now, last) = self._readings[0], self._readings[-1]
        return max(0, last[queue] - first[queue]) / (now - began)


def waiting_rows(overview: Overview, queue: Queue) -> int:
    """Rows for the workers of a queue that are not yet final, those of bulk predictions included."""
    return overview.backlog(queue) + (overview.stored.backlog if queue is Queue.BULK else 0)


def _final_rows(overview: Overview, queue: Queue) -> int:
    return overview.final_rows[queue] + (overview.stored.final_rows if queue is Queue.BULK else 0)
