"""Writes values as texts of JSON or CSV: a whole column at once; a value, or row, of which there are many, once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PROBE_ROWS: Final = 1024
_FEW: Final = 128  # distinct values in the first rows: writing them once is then quicker
_MAX_NUMBER: Final = 2**31  # times the rows of a batch, it is below 2^63
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


def write_values(column: Any, style: Style) -> Any:
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
        return _write_distinct_values(column, lambda values: _write_floats(values, style).fill_null(style.missing))
    if pa.types.is_temporal(kind):
        column = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    return _write_distinct_values(
        column.cast(pa.string()), lambda values: style.strings(values).fill_null(style.missing)
    )


def write_distinct_rows(batch: Any, write: Callable[[Any], Any]) -> Any:
    """Write each row of a record batch; only one of those that are equal, if the first rows have few different ones.

    Args:
        batch: a record batch.
        write: returns an array of strings, one for each row of a record batch.

    Returns:
        An array of strings.
    """
    if batch.num_rows < _PROBE_ROWS or _number_rows(batch.slice(0, _PROBE_ROWS)).max() >= _FEW:
        return write(batch)
    numbers = _number_rows(batch)
    return write(batch.take(pa.array(_last_rows(numbers)))).take(pa.array(numbers))


def joined_bytes(strings: Any) -> memoryview:
    """Return the bytes of all values of an array of strings, one after the other, without a copy."""
    _, offsets, content = strings.buffers()
    ends = np.frombuffer(offsets, np.int32, len(strings) + 1, strings.offset * 4)
    return memoryview(content or b"")[ends[0] : ends[-1]]


def encode_json_strings(values: Any) -> Any:
    """Write strings as JSON."""
    content = np.frombuffer(joined_bytes(values), np.uint8)
    if (content < _FIRST_PRINTABLE).any() or (content == ord('"')).any() or (content == ord("\\")).any():
        return _split_lines(_encode_lines(values.to_pylist()), len(values))
    return pc.binary_join_element_wise('"', values, '"', "")


def encode_csv_strings(values: Any) -> Any:
    """Write strings as cells of CSV, in quotes where needed; an empty cell without quotes is a missing value."""
    content = np.frombuffer(joined_bytes(values), np.uint8)
    if not np.isin(content, _CSV_SPECIAL).any() and pc.min(pc.binary_length(values)).as_py() != 0:
        return values
    needs_quotes = pc.match_substring_regex(values, '[",\r\n]|^$')
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(values, '"', '""'), '"', "")
    return pc.if_else(needs_quotes, quoted, values)


def _write_distinct_values(column: Any, write: Callable[[Any], Any]) -> Any:
    return write_distinct_rows(pa.record_batch([column], ["column"]), lambda batch: write(batch.column(0)))


def _number_rows(batch: Any) -> Any:
    """Number the different rows of a record batch from 0, and return the number of each row, as an array of int64."""
    if all(column.type in _WIDE and not column.null_count for column in batch.columns):
        words = [_comparable_values(column).to_numpy().view(np.uint64) for column in batch.columns]
        numbers = _number_values(_hash_rows(words).view(np.int64))
        rows = _last_rows(numbers)
        if all((column[rows][numbers] == column).all() for column in words):  # no two different rows have one hash
            return numbers
    numbers, n_numbers = np.zeros(batch.num_rows, np.int64), 1
    for column in batch.columns:
        encoded = _comparable_values(column).dictionary_encode("encode")
        numbers = numbers * len(encoded.dictionary) + encoded.indices.to_numpy()
        n_numbers *= len(encoded.dictionary)
        if n_numbers > _MAX_NUMBER:
            numbers, n_numbers = _number_values(numbers), batch.num_rows
    return _number_values(numbers)


def _hash_rows(columns: list[Any]) -> Any:
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes ^= column
        hashes *= _ODD
        hashes ^= hashes >> _HALF
    return hashes


def _last_rows(numbers: Any) -> Any:
    """Return the last row that has each number."""
    rows = np.empty(numbers.max() + 1, np.int64)
    rows[numbers] = np.arange(len(numbers))
    return rows


def _number_values(values: Any) -> Any:
    return pa.array(values).dictionary_encode().indices.to_numpy().astype(np.int64)


def _comparable_values(column: Any) -> Any:
    """Return values that are equal only if every bit of the column's is."""
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return column.view(_BITS[column.type.bit_width]) if pa.types.is_floating(column.type) else column


def _write_floats(values: Any, style: Style) -> Any:
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


_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
_WIDE: Final = (pa.int64(), pa.float64())
_BITS: Final = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_CSV_SPECIAL: Final = np.frombuffer(b'",\r\n', np.uint8)
JSON: Final = Style("null", '"-Infinity"', '"Infinity"', '"NaN"', encode_json_strings)
CSV: Final = Style("", "-Infinity", "Infinity", "NaN", encode_csv_strings)
