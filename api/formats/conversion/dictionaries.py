"""Converts dictionary arrays: each value of a dictionary once."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion.columns import ColumnConverter, ConvertedColumn


class DictionaryConverter:
    """Converts dictionary arrays to the canonical form of a column."""

    def __init__(self, converter: ColumnConverter, *, nullable: bool) -> None:
        """Wrap a converter.

        Args:
            converter: converts the values of a dictionary.
            nullable: whether a value of the column may be missing.
        """
        self._convert = converter
        self._nullable = nullable
        self._dictionary: Any = None
        self._converted: ConvertedColumn

    def __call__(self, array: Any) -> ConvertedColumn:
        """Convert an array."""
        if not _is_same(array.dictionary, self._dictionary):
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


def _is_same(first: Any, second: Any) -> bool:
    """Whether two arrays have the same buffers; both are alive, so that no address was reused."""
    if second is None or len(first) != len(second) or first.offset != second.offset:
        return False
    pairs = zip(first.buffers(), second.buffers(), strict=True)
    return all((a and a.address) == (b and b.address) for a, b in pairs)
