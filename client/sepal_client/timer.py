"""Time that runs out."""

import math
import time


class Timer:
    """Counts down; without a number of seconds, it is never over."""

    def __init__(self, seconds: float | None = None) -> None:
        self._ends_at = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Infinite if it is never over."""
        return max(self._ends_at - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.seconds_left == 0.0
