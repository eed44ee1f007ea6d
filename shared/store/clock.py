"""The store's clock, read in the gateway without a round trip."""

import time
from typing import Final

NEVER_US: Final = 2**53
"""The largest integer that Lua represents exactly: the year 2255."""


class StoreClock:
    """Estimates the store's time: the time last read from the store, plus the time that has passed since.

    All deadlines and leases use the store's clock, because the clocks of gateways and workers may be wrong.
    """

    def __init__(self) -> None:
        self._ahead_us: int | None = None

    def set(self, now_us: int) -> None:
        """Set the clock to the store's time, in microseconds since 1970."""
        self._ahead_us = now_us - time.monotonic_ns() // 1000

    def now_plus(self, seconds: float) -> int:
        """Return the time `seconds` from now, in microseconds since 1970; `NEVER_US` before the first `set`."""
        if self._ahead_us is None:
            return NEVER_US
        return self._ahead_us + time.monotonic_ns() // 1000 + round(seconds * 1_000_000)
