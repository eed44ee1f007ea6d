"""A countdown timer."""

import math
import time


class Timer:
    """Counts down a number of seconds; without one, it never expires."""

    def __init__(self, seconds: float | None = None) -> None:
        self._ends_at = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """The seconds until the timer expires; infinite if it never does."""
        return max(self._ends_at - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the time has expired."""
        return self.seconds_left == 0.0
