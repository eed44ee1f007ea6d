"""Conditional requests and requests for a range of bytes (RFC 9110, sections 13 and 14)."""

import re
from typing import Final, NamedTuple

from starlette.datastructures import Headers

from shared.errors import RangeNotSatisfiable

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{1,18})?-([0-9]{1,18})?[ \t]*", re.IGNORECASE)


class ByteRange(NamedTuple):
    """A range of bytes in a file; `end` is not included."""

    start: int
    end: int


def is_range_requested(headers: Headers, etag: str) -> bool:
    """Return whether the request is for one range of this version of the file.

    Otherwise the whole file is sent: for a unit other than bytes, for several ranges, or if `If-Range` is the tag of
    another version.
    """
    asked_for = headers.getlist("range")
    if len(asked_for) != 1 or _parse_range(asked_for[0]) is None:
        return False
    return headers.get("if-range", etag).strip() == etag  # a weak tag or a date never matches


def requested_range(headers: Headers, n_bytes: int) -> ByteRange:
    """Return the range that the request is for, in a file of `n_bytes`.

    Raises:
        RangeNotSatisfiable: the file has no byte in the range.
    """
    parsed = _parse_range(headers["range"])
    assert parsed is not None, "checked by `is_range_requested`"
    first, last = parsed
    if first is None:
        assert last is not None, "`_parse_range` requires one of the two"
        found = ByteRange(max(n_bytes - last, 0), n_bytes)
    else:
        found = ByteRange(first, n_bytes if last is None else min(last + 1, n_bytes))
    if found.start >= found.end:
        raise RangeNotSatisfiable(n_bytes)
    return found


def has_current_copy(headers: Headers, etag: str) -> bool:
    """Return whether the client has this version of the file: `If-None-Match` contains its tag."""
    known = ",".join(headers.getlist("if-none-match"))
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}  # the gateway's tags have no comma
    return etag in tags or known.strip() == "*"


def _parse_range(value: str) -> tuple[int | None, int | None] | None:
    match = _RANGE.fullmatch(value.strip())
    if match is None or (match[1] is None and match[2] is None):
        return None
    first, last = (None if digits is None else int(digits) for digits in match.groups())
    return None if first is not None and last is not None and last < first else (first, last)
