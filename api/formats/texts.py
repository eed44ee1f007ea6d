"""Writes the values of a column as texts of JSON or CSV: a whole column at once, and few distinct values once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PROBE_ROWS: Final = 1024
_FEW: Final = 128  # distinct values in the first rows: writing them once is then quicker
_LINE_END: Final = 10
_FIRST_PRINTABLE: Final = 32

_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True, slots=True)
class Style:
    """How a format writes what is not a finite number."""

    missing: str
    negative_infinity: str
    infinity: str
    nan: str
    strings: Callable[[Any], Any]
    """From an array of strings to their texts; the text of a null may be anything."""


def write_texts(column: Any, style: Style) -> Any:
    """Write each value of a column.

    Floats keep every bit: their text is the shortest that parses to the same number of their own precision, as in the
    answers of `/predict`. Dates and datetimes are written in ISO 8601.

    Args:
        column: an array of numbers, booleans, strings, dates, datetimes, or anything that can be cast to strings.
        style: of the format.

    Returns:
        An array of strings without nulls.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(pa.string()).fill_null(style.missing)
    if pa.types.is_floating(kind):
        return _few_once(column, _BITS[kind.bit_width], lambda values: _floats(values, style), style)
    if pa.types.is_temporal(kind):
        column = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    return _few_once(column.cast(pa.string()), pa.string(), style.strings, style)


def bytes_of(strings: Any) -> memoryview:
    """Return the bytes of all values of an array of strings, one after the other, without a copy."""
    _, offsets, content = strings.buffers()
    ends = np.frombuffer(offsets, np.int32, len(strings) + 1, strings.offset * 4)
    return memoryview(content or b"")[ends[0] : ends[-1]]


def json_strings(values: Any) -> Any:
    """Write strings as JSON."""
    content = np.frombuffer(bytes_of(values), np.uint8)
    if (content < _FIRST_PRINTABLE).any() or (content == ord('"')).any() or (content == ord("\\")).any():
        return _split_lines(_encode_lines(values.to_pylist()), len(values))
    return pc.binary_join_element_wise('"', values, '"', "")


def csv_strings(values: Any) -> Any:
    """Write strings as cells of CSV, in quotes where needed; an empty cell without quotes is a missing value."""
    content = np.frombuffer(bytes_of(values), np.uint8)
    if not np.isin(content, _CSV_SPECIAL).any() and pc.min(pc.binary_length(values)).as_py() != 0:
        return values
    needs_quotes = pc.match_substring_regex(values, '[",\r\n]|^$')
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(values, '"', '""'), '"', "")
    return pc.if_else(needs_quotes, quoted, values)


def _few_once(column: Any, bits: Any, write: Callable[[Any], Any], style: Style) -> Any:
    """Write a column; its distinct values only, if the first rows have few of them."""
    if len(column) < _PROBE_ROWS or _n_distinct(column.slice(0, _PROBE_ROWS).view(bits)) > _FEW:
        return write(column).fill_null(style.missing)
    encoded = column.view(bits).dictionary_encode()
    return write(encoded.dictionary.view(column.type)).take(encoded.indices).fill_null(style.missing)


def _n_distinct(values: Any) -> int:
    return len(values.dictionary_encode().dictionary)


def _floats(values: Any, style: Style) -> Any:
    if values.type.bit_width < 64:
        values = values.cast(pa.string()).cast(pa.float64())  # 0.1, not 0.10000000149011612
    texts = _split_lines(_encode_lines(values.to_numpy(zero_copy_only=False).tolist()), len(values))
    is_finite = pc.is_finite(values)
    if values.null_count == 0 and pc.all(is_finite).as_py():
        return texts
    infinities = pc.if_else(pc.greater(values, 0), style.infinity, style.negative_infinity)
    return pc.if_else(is_finite, texts, pc.if_else(pc.is_nan(values), style.nan, infinities))


def _split_lines(lines: bytes, n_lines: int) -> Any:
    """Make an array of strings of lines that each end with a line feed."""
    content = np.frombuffer(lines, np.uint8)
    is_end = content == _LINE_END
    ends = np.zeros(n_lines + 1, np.int32)
    ends[1:] = np.flatnonzero(is_end) - np.arange(n_lines)
    return pa.StringArray.from_buffers(n_lines, pa.py_buffer(ends), pa.py_buffer(content[~is_end]))


_BITS: Final = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_CSV_SPECIAL: Final = np.frombuffer(b'",\r\n', np.uint8)
JSON: Final = Style("null", '"-Infinity"', '"Infinity"', '"NaN"', json_strings)
CSV: Final = Style("", "-Infinity", "Infinity", "NaN", csv_strings)
