"""Formats numbers of rows, bytes and seconds for people."""

from typing import Final

_BYTE_UNITS: Final = ("kB", "MB", "GB", "TB")
_MINUTE_SECONDS: Final = 60
_HOUR_SECONDS: Final = 60 * _MINUTE_SECONDS


def format_count(number: int, noun: str) -> str:
    """Return `1 row`, `1,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_rows(number: int) -> str:
    """Return `1 row`, `1,000 rows`."""
    return format_count(number, "row")


def format_bytes(number: float) -> str:
    """Return `312 bytes`, `42.1 MB`; a megabyte is a million bytes."""
    if number < 1000:
        return f"{number:.0f} bytes"
    for unit in _BYTE_UNITS:
        number /= 1000
        if number < 999.95 or unit == _BYTE_UNITS[-1]:
            return f"{number:.1f} {unit}"
    raise AssertionError("the last unit takes every number")


def format_duration(seconds: float) -> str:
    """Return `0.8 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < _MINUTE_SECONDS:
        return f"{whole} s"
    if whole < _HOUR_SECONDS:
        return f"{whole // _MINUTE_SECONDS} min {whole % _MINUTE_SECONDS} s"
    return f"{whole // _HOUR_SECONDS} h {whole % _HOUR_SECONDS // _MINUTE_SECONDS} min"
