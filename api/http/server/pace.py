"""The deadlines of a connection: each byte extends them, so that only slow clients miss them."""

import math

from api.settings import ConnectionSettings


class Pace:
    """The deadlines of one connection for sending and for reading, on the event loop's clock."""

    def __init__(self, limits: ConnectionSettings) -> None:
        self._stall_seconds = limits.stall_seconds
        self._seconds_per_byte = 1 / limits.min_bytes_per_second
        self._deadline = math.inf
        self._read_deadline = math.inf
        self._n_read = 0

    def is_overdue(self, now: float) -> bool:
        """Return whether the deadline for sending has passed."""
        return now >= self._deadline

    def set_deadline(self, now: float, seconds: float) -> None:
        """Set the deadline for sending, in seconds from now."""
        self._deadline = now + seconds

    def clear_deadline(self) -> None:
        """Remove the deadline for sending: the request is complete, or the gateway does not read."""
        self._deadline = math.inf

    def credit_bytes(self, now: float, n_bytes: int) -> None:
        """Extend the deadline by the time of received bytes at the minimum rate, up to `stall_seconds` from now."""
        self._deadline = min(now + self._stall_seconds, self._deadline + n_bytes * self._seconds_per_byte)

    def is_reading_too_slowly(self, now: float, n_written_bytes: int, n_unsent_bytes: int) -> bool:
        """Record how much the client has read of its responses.

        Args:
            now: the event loop's time.
            n_written_bytes: the number of bytes of responses.
            n_unsent_bytes: the number of those that are still in this process.

        Returns:
            Whether the client is below the minimum rate for too long.
        """
        if not n_unsent_bytes:
            self._read_deadline = math.inf
            return False
        n_read = n_written_bytes - n_unsent_bytes
        earned = (n_read - self._n_read) * self._seconds_per_byte
        self._read_deadline = min(now + self._stall_seconds, self._read_deadline + earned)
        self._n_read = n_read
        return now > self._read_deadline

    def extend_deadline(self, now: float, seconds: float) -> None:
        """Set the deadline for sending to at least so many seconds from now."""
        self._deadline = max(self._deadline, now + seconds)
