"""The parts of a request to a gateway, apart from its body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx

from sepal_client.errors import InvalidInput
from sepal_client.timer import Timer

Params = Mapping[str, str | Sequence[str]]
_LONGEST_KEY: Final = 255
_LONGEST_DEADLINE: Final = 1e9
_SMALLEST_DEADLINE: Final = 1e-6


@dataclass(frozen=True)
class Call:
    """A request, apart from its body."""

    method: str
    path: str
    params: Params = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: httpx.Timeout | None = None
    """None: the default time-outs of the transport."""
    silence: float | None = None
    """Time-out in seconds between bytes of the response's body; None: the transport's."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """Request extensions of httpx."""
    accepted_statuses: tuple[int, ...] = ()
    """Status codes other than 2xx that do not raise an error."""


def check_or_create_key(idempotency_key: str | None) -> str:
    """Return the given idempotency key, or a new one if it is None.

    Raises:
        InvalidInput: the gateway would refuse the key.
    """
    if idempotency_key is None:
        return uuid4().hex
    if not (1 <= len(idempotency_key) <= _LONGEST_KEY and idempotency_key.isascii() and idempotency_key.isprintable()):
        raise InvalidInput(f"`idempotency_key` must be 1 to {_LONGEST_KEY} printable ASCII characters.")
    return idempotency_key


class SubmissionHeaders:
    """The headers of one submission: the same idempotency key and the remaining deadline in each attempt."""

    def __init__(self, idempotency_key: str, deadline: float | None) -> None:
        """Start the deadline.

        Args:
            idempotency_key: the idempotency key.
            deadline: seconds from now.

        Raises:
            InvalidInput: the deadline is not a positive number of seconds.
        """
        if deadline is not None and not 0 < deadline < _LONGEST_DEADLINE:
            raise InvalidInput("`deadline` must be a positive number of seconds from now.")
        escaped = idempotency_key.replace("\\", "\\\\").replace('"', '\\"')
        self._key = f'"{escaped}"'
        self._timer = None if deadline is None else Timer(deadline)

    def for_new_attempt(self) -> dict[str, str]:
        """Return the headers for an attempt that begins now."""
        headers = {"Idempotency-Key": self._key}
        if self._timer is not None:
            headers["Sepal-Deadline"] = f"{max(self._timer.seconds_left, _SMALLEST_DEADLINE):.6f}"
        return headers
