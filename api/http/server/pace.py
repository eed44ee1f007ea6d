"""How long a connection waits for its client: deadlines that each byte moves, so that only slow clients miss them."""

import math

from api.settings import ConnectionSettings


class Pace:
    """The deadlines of one connection, on the event loop's clock. Without a deadline, the client owes nothing."""

    def __init__(self, limits: ConnectionSettings) -> None:
        self._stall_seconds = limits.stall_seconds
        self._seconds_per_byte = 1 / limits.min_bytes_per_second
        self._deadline = math.inf
        self._read_deadline = math.inf
        self._n_read = 0

    def is_overdue(self, now: float) -> bool:
        """Whether the client should have sent more by now."""
        return now >= self._deadline

    def set_deadline(self, now: float, seconds: float) -> None:
        """Give the client so long from now."""
        self._deadline = now + seconds

    def clear_deadline(self) -> None:
        """Expect nothing: the client has sent what it had to, or the gateway does not read."""
        self._deadline = math.inf

    def credit_bytes(self, now: float, n_bytes: int) -> None:
        """Count bytes of a body: each is worth its time at the slowest rate, up to the longest stall."""
        self._deadline = min(now + self._stall_seconds, self._deadline + n_bytes * self._seconds_per_byte)

    def reads_too_slowly(self, now: float, n_written: int, n_unsent: int) -> bool:
        """Count what the client has read of its responses.

        Args:
            now: the event loop's time.
            n_written: bytes of responses.
            n_unsent: how many of them have not left this process.

        Returns:
            Whether it is less than the slowest rate allows.
        """
        if not n_unsent:
            self._read_deadline = math.inf
            return False
        n_read = n_written - n_unsent
        earned = (n_read - self._n_read) * self._seconds_per_byte
        self._read_deadline = min(now + self._stall_seconds, self._read_deadline + earned)
        self._n_read = n_read
        return now > self._read_deadline

    def extend_deadline(self, now: float, seconds: float) -> None:
        """Give the client so long from now at least."""
        self._deadline = max(self._deadline, now + seconds)
