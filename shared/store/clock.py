"""The store's clock, as a gateway can read it without a round trip."""

import time
from typing import Final

NEVER_US: Final = 2**53
"""The largest number that Lua holds exactly: the year 2255."""


class StoreClock:
    """What the store last said, and what has passed here since.

    Deadlines and leases are all by this one clock: the gateways' and the workers' own may be wrong.
    """

    def __init__(self) -> None:
        self._ahead_us: int | None = None

    def set(self, now_us: int) -> None:
        """Take the store's word for it, in microseconds since 1970."""
        self._ahead_us = now_us - time.monotonic_ns() // 1000

    def now_plus(self, seconds: float) -> int:
        """When it will be that much later, in microseconds since 1970; far from now where the store has not spoken."""
        if self._ahead_us is None:
            return NEVER_US
        return self._ahead_us + time.monotonic_ns() // 1000 + round(seconds * 1_000_000)
