"""`Sepal-Deadline`: for how long there is a use for an answer (docs/decisions/0015-deadlines-in-seconds.md)."""

import re
from typing import Final

from shared.errors import InvalidDeadline

PATTERN: Final = r"^(?=.*[1-9])[0-9]{1,9}(\.[0-9]{1,6})?$"
"""A positive number, in a form that every client can write."""
_SECONDS: Final = re.compile(PATTERN.encode())


def read_deadline(header: bytes | None) -> float | None:
    """Read the header's value: seconds from now.

    Raises:
        InvalidDeadline: it is no such number, or nothing can be done in so short a time.
    """
    if header is None:
        return None
    if not _SECONDS.fullmatch(header.strip()):
        raise InvalidDeadline
    return float(header)
