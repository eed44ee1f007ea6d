"""Parses dates and datetimes of RFC 3339; for a column without a time zone, datetimes without an offset."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final

from api.http.strict_json import to_short_json
from shared.columns import UNIT_DIGITS, Unit

_DATETIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)"  # the date
    r"(?:[Tt ]((?:[01]\d|2[0-3]):\d\d)(?:(:\d\d)(?:\.(\d{1,9}))?)?)?"  # the time, the seconds, and their digits
    r"([Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NANOSECOND_RANGE: Final = datetime(1677, 9, 21, 0, 12, 44), datetime(2262, 4, 11, 23, 47, 16)
"""The seconds that a 64-bit datetime in nanoseconds can represent with every fraction."""


def read_datetime(unit: Unit, is_zoned: bool, expectation: str, value: Any) -> str:
    """Return a datetime in ISO 8601 with all digits of its unit; in UTC, with a final `Z`, if `is_zoned`.

    Raises:
        ValueError: the value is not such a datetime, or its precision or year does not fit the unit.
    """
    found = _DATETIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"must be {expectation}; {to_short_json(value)} is not.")
    day, minutes, seconds, digits, offset = found.groups()
    if (offset is not None) is not is_zoned:
        raise ValueError(f"must be {expectation}; {to_short_json(value)} has {'an' if offset else 'no'} offset.")
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes or '00:00'}{seconds or ''}")
        if offset is not None:
            moment = moment.replace(tzinfo=_parse_offset(offset)).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"must be {expectation}; {to_short_json(value)} is not a date and time: {error}.") from None
    n_digits = UNIT_DIGITS[unit]
    digits = (digits or "").ljust(9, "0")
    if digits[n_digits:].strip("0"):
        raise ValueError(f"keeps {n_digits} digits of a second; {to_short_json(value)} has more: round it.")
    if unit is Unit.NANOSECOND and not _NANOSECOND_RANGE[0] <= moment <= _NANOSECOND_RANGE[1]:
        raise ValueError(f"must be between the years 1677 and 2262; {to_short_json(value)} is not.")
    fraction = f".{digits[:n_digits]}" if n_digits else ""
    return f"{moment.isoformat()}{fraction}{'Z' if is_zoned else ''}"


def read_date(expectation: str, value: Any) -> str:
    """Return a date in ISO 8601.

    Raises:
        ValueError: the value is not a date.
    """
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError(f"must be {expectation}; {to_short_json(value)} is not.")
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise ValueError(f"must be {expectation}; {to_short_json(value)} is not a date: {error}.") from None


def _parse_offset(offset: str) -> timezone:
    if offset in "Zz":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError(f"{offset} is not an offset")
    return timezone((1 if offset[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))
