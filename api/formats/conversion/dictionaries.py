"""Converts dictionary arrays: each value of a dictionary once."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion.columns import ColumnConverter, ConvertedColumn


class DictionaryConverter:
    """Converts dictionary arrays to the canonical form of a column."""

    def __init__(self, converter: ColumnConverter, *, is_nullable: bool) -> None:
        """Wrap a converter.

        Args:
            converter: converts the values of a dictionary.
            is_nullable: whether a value of the column may be missing.
        """
        self._convert = converter
        self._nullable = is_nullable
        self._dictionary: Any = None
        self._converted: ConvertedColumn

    def __call__(self, array: Any) -> ConvertedColumn:
        """Convert an array."""
        if not _has_same_buffers(array.dictionary, self._dictionary):
            self._dictionary = array.dictionary
            self._converted = self._convert(array.dictionary)
        values, reasons = self._converted
        converted = values.take(array.indices)
        if not converted.null_count:
            return ConvertedColumn(converted, {})
        bad: dict[int, str] = {}
        if reasons:
            is_bad = pc.is_in(array.indices, value_set=pa.array(list(reasons), array.indices.type))
            rows = pc.indices_nonzero(is_bad)
            of_rows = array.indices.take(rows).to_pylist()
            bad = {row: reasons[index] for row, index in zip(rows.to_pylist(), of_rows, strict=True)}
        if not self._nullable:
            nulls = pc.indices_nonzero(pc.is_null(converted)).to_pylist()
            bad = dict.fromkeys(nulls, self._convert.missing) | bad
        return ConvertedColumn(converted, bad)


def _has_same_buffers(first_array: Any, second_array: Any) -> bool:
    """Whether two arrays have the same buffers; both are alive, so that no address was reused."""
    if second_array is None or len(first_array) != len(second_array) or first_array.offset != second_array.offset:
        return False
    pairs = zip(first_array.buffers(), second_array.buffers(), strict=True)
    return all((a and a.address) == (b and b.address) for a, b in pairs)
