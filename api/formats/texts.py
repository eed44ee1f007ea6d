"""Writes columns as the text of JSON or CSV; encodes each distinct value or row once if there are few."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PROBE_ROWS: Final = 1024
_MAX_DISTINCT_ROWS: Final = 128  # with fewer distinct values in the first rows, writing each of them once is faster
_MAX_NUMBER: Final = 2**31  # multiplied by the rows of a batch, below 2^63
_LINE_END: Final = 10
_FIRST_PRINTABLE: Final = 32

_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a format writes strings, missing values and numbers that are not finite."""

    missing: str
    negative_infinity: str
    infinity: str
    nan: str
    strings: Callable[[Any], Any]
    """Encodes an array of strings; the result for a null is ignored."""


def encode_values(column: Any, style: TextStyle) -> Any:
    """Encode each value of a column as text.

    A float is written with the fewest digits that parse to the same value in its precision, as in responses of
    `/predict`. Dates and datetimes are written in ISO 8601.

    Args:
        column: an array of numbers, booleans, strings, dates, datetimes, or any type that can be cast to strings.
        style: the style of the format.

    Returns:
        An array of strings without nulls.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(pa.string()).fill_null(style.missing)
    if pa.types.is_floating(kind):
        return _encode_distinct_values(column, lambda values: _encode_floats(values, style).fill_null(style.missing))
    if pa.types.is_temporal(kind):
        column = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    return _encode_distinct_values(
        column.cast(pa.string()), lambda values: style.strings(values).fill_null(style.missing)
    )


def encode_distinct_rows(batch: Any, encode_batch: Callable[[Any], Any]) -> Any:
    """Encode each row of a record batch; each distinct row once, if the first rows have few distinct ones.

    Args:
        batch: the record batch.
        encode_batch: encodes a record batch: returns an array of one string for each row.

    Returns:
        An array of strings.
    """
    if batch.num_rows < _PROBE_ROWS or _number_rows(batch.slice(0, _PROBE_ROWS)).max() >= _MAX_DISTINCT_ROWS:
        return encode_batch(batch)
    numbers = _number_rows(batch)
    return encode_batch(batch.take(pa.array(_last_row_indices(numbers)))).take(pa.array(numbers))


def joined_bytes(strings: Any) -> memoryview:
    """Return the concatenated bytes of an array of strings, without a copy."""
    _, offsets, content = strings.buffers()
    ends = np.frombuffer(offsets, np.int32, len(strings) + 1, strings.offset * 4)
    return memoryview(content or b"")[ends[0] : ends[-1]]


def encode_json_strings(values: Any) -> Any:
    """Encode an array of strings as JSON strings."""
    content = np.frombuffer(joined_bytes(values), np.uint8)
    if (content < _FIRST_PRINTABLE).any() or (content == ord('"')).any() or (content == ord("\\")).any():
        return _split_lines(_encode_lines(values.to_pylist()), len(values))
    return pc.binary_join_element_wise('"', values, '"', "")


def encode_csv_strings(values: Any) -> Any:
    """Encode an array of strings as CSV cells, in quotes if needed; an unquoted empty cell is a missing value."""
    content = np.frombuffer(joined_bytes(values), np.uint8)
    if not np.isin(content, _CSV_SPECIAL).any() and pc.min(pc.binary_length(values)).as_py() != 0:
        return values
    needs_quotes = pc.match_substring_regex(values, '[",\r\n]|^$')
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(values, '"', '""'), '"', "")
    return pc.if_else(needs_quotes, quoted, values)


def _encode_distinct_values(column: Any, encode_array: Callable[[Any], Any]) -> Any:
    return encode_distinct_rows(pa.record_batch([column], ["column"]), lambda batch: encode_array(batch.column(0)))


def _number_rows(batch: Any) -> Any:
    """Number the distinct rows of a record batch from 0; return the number of each row, int64, shape (n_rows,)."""
    if all(column.type in _WORD_TYPES and not column.null_count for column in batch.columns):
        words = [_comparable_values(column).to_numpy().view(np.uint64) for column in batch.columns]
        numbers = _number_values(_hash_rows(words).view(np.int64))
        rows = _last_row_indices(numbers)
        if all((column[rows][numbers] == column).all() for column in words):  # no hash collision
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
        hashes *= _HASH_MULTIPLIER
        hashes ^= hashes >> _HASH_SHIFT
    return hashes


def _last_row_indices(row_numbers: Any) -> Any:
    """Return the index of the last row with each number."""
    rows = np.empty(row_numbers.max() + 1, np.int64)
    rows[row_numbers] = np.arange(len(row_numbers))
    return rows


def _number_values(values: Any) -> Any:
    return pa.array(values).dictionary_encode().indices.to_numpy().astype(np.int64)


def _comparable_values(column: Any) -> Any:
    """Return integers in place of floats, so that values are equal only if all their bits are."""
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return column.view(_INTEGER_TYPES_BY_BITS[column.type.bit_width]) if pa.types.is_floating(column.type) else column


def _encode_floats(values: Any, style: TextStyle) -> Any:
    if values.type.bit_width < 64:
        values = values.cast(pa.string()).cast(pa.float64())  # 0.1, not 0.10000000149011612
    texts = _split_lines(_encode_lines(values.to_numpy(zero_copy_only=False).tolist()), len(values))
    is_finite = pc.is_finite(values)
    if values.null_count == 0 and pc.all(is_finite).as_py():
        return texts
    infinities = pc.if_else(pc.greater(values, 0), style.infinity, style.negative_infinity)
    return pc.if_else(is_finite, texts, pc.if_else(pc.is_nan(values), style.nan, infinities))


def _split_lines(lines: bytes, n_lines: int) -> Any:
    """Return the lines of `lines`, which all end with a line feed, as an array of strings."""
    content = np.frombuffer(lines, np.uint8)
    is_end = content == _LINE_END
    ends = np.zeros(n_lines + 1, np.int32)
    ends[1:] = np.flatnonzero(is_end) - np.arange(n_lines)
    return pa.StringArray.from_buffers(n_lines, pa.py_buffer(ends), pa.py_buffer(content[~is_end]))


_HASH_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_HASH_SHIFT: Final = np.uint64(32)
_WORD_TYPES: Final = (pa.int64(), pa.float64())
_INTEGER_TYPES_BY_BITS: Final = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_CSV_SPECIAL: Final = np.frombuffer(b'",\r\n', np.uint8)
JSON_STYLE: Final = TextStyle("null", '"-Infinity"', '"Infinity"', '"NaN"', encode_json_strings)
CSV_STYLE: Final = TextStyle("", "-Infinity", "Infinity", "NaN", encode_csv_strings)
