"""Reads the values of a column: checks what a client sent, and converts it to the form that is encoded.

Every refusal names the column, the value and the remedy.
"""

import json
import math
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any, Final

from api.http.datetimes import read_date, read_datetime
from shared.columns import FLOATS, INTEGERS, Column, Unit, Values, ValueType

Reader = Callable[[Any], Any]
"""Takes a JSON value that is not null; raises `ValueError` with the rest of a sentence that begins with the column."""

_MAX_FLOAT32: Final = 3.4028235677973366e38  # from here on, a float64 rounds to infinity in float32
_MAX_EXACT: Final = 2**53  # a larger integer that was written as 1e17 or with a decimal point may have lost digits
_SHOWN_CHARACTERS: Final = 60
_SHOWN_VALUES: Final = 10
_MAX_COMPARED: Final = 200


class ValueRefused(Exception):
    """A value does not fit its column; the text says why and what to send."""


def column_reader(column: Column, max_text_bytes: int) -> Reader:
    """Make the function that reads one value of a column, null included; it raises `ValueRefused`."""
    read_value = _reader(column, max_text_bytes)
    if column.categories is not None:
        inner = _reader(column.categories, max_text_bytes)
        read_value = partial(_read_category, inner, {value: value for value in column.categories.values})
    name = json.dumps(column.name, ensure_ascii=False)
    refusal_of_null = "" if column.nullable else f"{name} must not be missing: send {expected(column)}."

    def read(value: Any) -> Any:
        if value is None:
            if refusal_of_null:
                raise ValueRefused(refusal_of_null)
            return None
        try:
            return read_value(value)
        except ValueError as error:
            raise ValueRefused(f"{name} {error}{_null_remedy(value) if column.nullable else ''}") from None

    return read


def expected(column: Column) -> str:
    """Say what a column takes: "an integer from 0 to 255"."""
    if column.categories is not None:
        shown = column.categories.values[:_SHOWN_VALUES]
        more = len(column.categories.values) - len(shown)
        return "one of " + ", ".join(map(show, shown)) + (f" and {more} more" if more else "")
    return _expected(column)


def show(value: Any) -> str:
    """Write a value as JSON, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _expected(values: Values) -> str:
    if values.type in FLOATS:
        return "a number"
    if values.type in INTEGERS:
        smallest, largest = INTEGERS[values.type]
        return f"an integer from {smallest} to {largest}"
    if values.type is ValueType.DATETIME:
        example = "2026-01-31T12:00:00"
        zoned = f"with an offset, such as {example}Z or {example}+01:00"
        return f"a date and time {zoned if values.time_zone else f'without an offset, such as {example}'}"
    return {ValueType.BOOL: "true or false", ValueType.STRING: "a text", ValueType.DATE: "a date such as 2026-01-31"}[
        values.type
    ]


def _reader(values: Values, max_text_bytes: int) -> Reader:
    wanted = _expected(values) if values.type is not ValueType.CATEGORY else ""
    if values.type in FLOATS:
        largest = _MAX_FLOAT32 if values.type is ValueType.FLOAT32 else math.inf
        return partial(_read_float, largest, values.type.value)
    if values.type in INTEGERS:
        return partial(_read_integer, *INTEGERS[values.type], wanted)
    if values.type is ValueType.BOOL:
        return partial(_read_bool, wanted)
    if values.type is ValueType.DATETIME:
        return partial(read_datetime, values.unit or Unit.NANOSECOND, values.time_zone is not None, wanted)
    if values.type is ValueType.DATE:
        return partial(read_date, wanted)
    return partial(_read_text, max_text_bytes)


def _read_float(limit: float, type_name: str, value: Any) -> float:
    if type(value) is not float:
        if type(value) is not int:
            raise ValueError(f"must be a number; {show(value)} is not.")
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if -limit < value < limit:
        number: float = value
        return number
    raise ValueError(f"must be within the range of {type_name}: this number is too large.")


def _read_integer(smallest: int, largest: int, wanted: str, value: Any) -> int:
    if type(value) is float and value.is_integer():
        if abs(value) > _MAX_EXACT:
            raise ValueError(f"must be {wanted}: write it with its digits alone, since {value!r} may have lost some.")
        value = int(value)
    if type(value) is not int:
        raise ValueError(f"must be {wanted}; {show(value)} is not.")
    if smallest <= value <= largest:
        return value
    raise ValueError(f"must be {wanted}; {show(value)} is not.")


def _read_bool(wanted: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"must be {wanted}; {show(value)} is not.")
    return value


def _read_text(max_bytes: int, value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"must be a text; {show(value)} is not.")
    if len(value) * 4 > max_bytes and (n_bytes := len(value.encode())) > max_bytes:
        raise ValueError(f"has {n_bytes} bytes in UTF-8; send at most {max_bytes} (SEPAL_MAX_TEXT_BYTES).")
    return value


def _read_category(read: Reader, known: dict[Any, Any], value: Any) -> Any:
    read_value = read(value)
    if read_value in known:
        return known[read_value]
    shown = ", ".join(show(each) for each in list(known)[:_SHOWN_VALUES])
    more = f" and {len(known) - _SHOWN_VALUES} more" if len(known) > _SHOWN_VALUES else ""
    near = nearest(read_value, known) if isinstance(read_value, str) else ""
    raise ValueError(f"must be one of {shown}{more}; {show(value)} is not.{near}")


def nearest(name: str, names: Any) -> str:
    """Suggest the nearest of some names, as a sentence with a space before it; empty if none is near."""
    if len(name) > _SHOWN_CHARACTERS or len(names) > _MAX_COMPARED:  # a comparison takes 10 µs
        return ""
    found = get_close_matches(name, [each for each in names if isinstance(each, str)], n=1)
    return f" Did you mean {show(found[0])}?" if found else ""


def _null_remedy(value: Any) -> str:
    is_missing = isinstance(value, str) and value.strip().lower() in {"", "nan", "na", "n/a", "none", "null", "nat"}
    return " A missing value is null." if is_missing else ""
