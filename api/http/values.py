"""Validates the values of a column as clients send them, and converts them to the form that is encoded.

Every error message names the column, the value and the remedy.
"""

import math
from collections.abc import Callable, Collection
from difflib import get_close_matches
from functools import partial
from typing import Any, Final

from api.http.datetimes import read_date, read_datetime
from api.http.strict_json import to_short_json
from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Column, Unit, Values, ValueType

Reader = Callable[[Any], Any]
"""Converts a JSON value; raises `ValueError` with a message to be put after the column's name."""

MAX_FLOAT32: Final = 3.4028235677973366e38  # exclusive: a float64 from here on rounds to infinity in float32
_MIN_INEXACT: Final = 2**53  # from here on, an integer that was written as 1e17 or as 3.0 may have lost digits
_SHOWN_VALUES: Final = 10
_MAX_COMPARED_LENGTH: Final = 60  # characters of a name for which a similar one is searched
_MAX_COMPARED_NAMES: Final = 200
_MISSING_VALUE_TEXTS: Final = frozenset({"", "nan", "na", "n/a", "none", "null", "nat"})


def column_reader(column: Column, max_text_bytes: int) -> Reader:
    """Return the function that validates and converts one value of a column, or null."""
    if column.categories is None:
        read = _value_reader(column, max_text_bytes)
    else:
        known = {value: value for value in column.categories.values}
        read = partial(_read_category, _value_reader(column.categories, max_text_bytes), known, expected_values(column))
    return partial(_read_nullable, read) if column.nullable else read


def refusal_message(column: Column, value: Any, reason: ValueError, *, has_suggestion: bool = True) -> str:
    """Return the message for a refused value: the reason, and what to send, such as the most similar category."""
    name = to_short_json(column.name)
    if value is None:
        return f"{name} must not be missing: send {expected_values(column)}."
    is_missing = column.nullable and isinstance(value, str) and value.strip().lower() in _MISSING_VALUE_TEXTS
    near = ""
    if has_suggestion and column.categories is not None and isinstance(value, str):
        near = nearest_suggestion(value, column.categories.values)
    return f"{name} {reason}{near}{' A missing value is null.' if is_missing else ''}"


def expected_values(column: Column) -> str:
    """Describe the values of a column: "an integer from 0 to 255"."""
    if column.categories is not None:
        shown = column.categories.values[:_SHOWN_VALUES]
        more = len(column.categories.values) - len(shown)
        return "one of " + ", ".join(map(to_short_json, shown)) + (f" and {more} more" if more else "")
    return _expected_type(column)


def nearest_suggestion(name: str, names: Collection[Any]) -> str:
    """Suggest the most similar of some names, as a sentence after a space; empty if none is similar."""
    if len(name) > _MAX_COMPARED_LENGTH or len(names) > _MAX_COMPARED_NAMES:  # a comparison takes 10 µs
        return ""
    found = get_close_matches(name, [each for each in names if isinstance(each, str)], n=1)
    return f" Did you mean {to_short_json(found[0])}?" if found else ""


def _expected_type(values: Values) -> str:
    if values.type in FLOAT_TYPES:
        return "a number"
    if values.type in INTEGER_RANGES:
        smallest, largest = INTEGER_RANGES[values.type]
        return f"an integer from {smallest} to {largest}"
    if values.type is ValueType.DATETIME:
        example = "2026-01-31T12:00:00"
        zoned = f"with an offset, such as {example}Z or {example}+01:00"
        return f"a date and time {zoned if values.time_zone else f'without an offset, such as {example}'}"
    return {ValueType.BOOL: "true or false", ValueType.STRING: "a string", ValueType.DATE: "a date such as 2026-01-31"}[
        values.type
    ]


def _value_reader(values: Values, max_text_bytes: int) -> Reader:
    wanted = _expected_type(values) if values.type is not ValueType.CATEGORY else ""
    if values.type in FLOAT_TYPES:
        largest = MAX_FLOAT32 if values.type is ValueType.FLOAT32 else math.inf
        return partial(_read_float, largest, values.type.value)
    if values.type in INTEGER_RANGES:
        return partial(_read_integer, *INTEGER_RANGES[values.type], wanted)
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
            raise ValueError(f"must be a number; {to_short_json(value)} is not.")
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if -limit < value < limit:
        number: float = value
        return number
    raise ValueError(f"must be within the range of {type_name}: this number is too large.")


def _read_integer(minimum: int, maximum: int, expectation: str, value: Any) -> int:
    if type(value) is float and value.is_integer():
        if abs(value) >= _MIN_INEXACT:
            raise ValueError(
                f"must be {expectation}: write it with its digits alone, since {value!r} may have lost some."
            )
        value = int(value)
    if type(value) is not int:
        raise ValueError(f"must be {expectation}; {to_short_json(value)} is not.")
    if minimum <= value <= maximum:
        return value
    raise ValueError(f"must be {expectation}; {to_short_json(value)} is not.")


def _read_bool(expectation: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"must be {expectation}; {to_short_json(value)} is not.")
    return value


def _read_text(max_bytes: int, value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"must be a string; {to_short_json(value)} is not.")
    if len(value) * 4 > max_bytes and (n_bytes := len(value.encode())) > max_bytes:
        raise ValueError(f"has {n_bytes} bytes in UTF-8; send at most {max_bytes} (SEPAL_MAX_TEXT_BYTES).")
    return value


def _read_category(read: Reader, known_categories: dict[Any, Any], expectation: str, value: Any) -> Any:
    read_value = read(value)
    if read_value in known_categories:
        return known_categories[read_value]
    raise ValueError(f"must be {expectation}; {to_short_json(value)} is not.")


def _read_nullable(read_value: Reader, value: Any) -> Any:
    return None if value is None else read_value(value)
