"""Parses blocks of CSV into columns.

A block is parsed into columns of the types of the model card. Columns where that fails, or gives what no cell of CSV
stands for, are parsed into texts, which `api.formats.conversion.cells` then reads.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from api.formats.conversion.cells import FALSE, TRUE
from api.formats.conversion.columns import ColumnConverter, decoded_type
from api.formats.csv.blocks import Block
from shared.columns import Column

_HEXADECIMAL: Final = re.compile(rb"0[xX]")  # pyarrow takes it for an integer
_FAILED_COLUMN: Final = re.compile(r"In CSV column #(\d+): ")
_MAX_ATTEMPTS: Final = 4  # before all columns are parsed into texts


class Layout(NamedTuple):
    """How the columns stand in the upload."""

    columns: Sequence[tuple[Column, int]]
    """The columns of the model card that are there, with their index in the upload."""
    carried: Sequence[int]
    n_columns: int
    delimiter: str
    null_texts: Sequence[str]
    """Texts of missing values, beside the empty cell; not of carried ones."""


class Parsed(NamedTuple):
    """The columns of a block, without its ragged rows."""

    features: Sequence[Any]
    """Arrays that `converters` take."""
    converters: Sequence[ColumnConverter]
    carried: Sequence[Any]
    n_rows: int
    """The ragged ones included."""
    ragged: dict[int, int]
    """For each row that has not as many cells as there are columns: how many it has."""


class BlockParser:
    """Parses the blocks of an upload."""

    def __init__(self, layout: Layout, max_text_bytes: int) -> None:
        """Plan the conversions.

        Args:
            layout: of the upload.
            max_text_bytes: the largest size of a text.
        """
        self._layout = layout
        self._types = {index: decoded_type(column) for column, index in layout.columns}
        self._typed_converters = {
            index: ColumnConverter(column, self._types[index], max_text_bytes, has_cells=True)
            for column, index in layout.columns
        }
        self._string_converters = {
            index: ColumnConverter(column, pa.string(), max_text_bytes, has_cells=True)
            for column, index in layout.columns
        }
        self._integers = {index for index, type_ in self._types.items() if pa.types.is_integer(type_)}
        self._carries_features = bool(set(layout.carried) & set(self._types)) or bool(layout.null_texts)

    def __call__(self, block: Block) -> Parsed:
        """Parse a block.

        Raises:
            pyarrow.ArrowInvalid: it is not UTF-8.
        """
        texts = self._integers if _HEXADECIMAL.search(block.content) else set()
        for _ in range(_MAX_ATTEMPTS):
            try:
                parsed = self._parse(block, texts)
            except pa.ArrowInvalid as error:
                doubtful = self._failed_columns(str(error))
            else:
                doubtful = set(self._non_finite_columns(parsed))
                if not doubtful:
                    return parsed
            texts = texts | doubtful
        return self._parse(block, set(self._types))

    def _failed_columns(self, error: str) -> set[int]:
        """Return the column that pyarrow says it cannot convert, or all of them."""
        found = _FAILED_COLUMN.search(error)
        return {int(found[1])} & self._types.keys() if found is not None else set(self._types)

    def _non_finite_columns(self, parsed: Parsed) -> Iterator[int]:
        """Yield the columns with texts such as `nan`, which pyarrow takes for numbers."""
        for (_, index), array in zip(self._layout.columns, parsed.features, strict=True):
            if pa.types.is_floating(array.type) and not pc.all(pc.is_finite(array), min_count=0).as_py():
                yield index

    def _parse(self, block: Block, texts: set[int]) -> Parsed:
        """Parse a block; read some columns as texts."""
        layout = self._layout
        types = {index: pa.string() if index in texts else type_ for index, type_ in self._types.items()}
        carried = dict.fromkeys(layout.carried, pa.string())
        ragged: dict[int, int] = {}
        if self._carries_features:
            table = self._read_csv(block, types, layout.null_texts, ragged)
            carried_table = self._read_csv(block, carried, (), {}) if carried else table
        else:
            table = carried_table = self._read_csv(block, types | carried, (), ragged)
        return Parsed(
            [_column_array(table, index) for index in self._types],
            [(self._string_converters if index in texts else self._typed_converters)[index] for index in self._types],
            [_column_array(carried_table, index) for index in layout.carried],
            table.num_rows + len(ragged),
            ragged,
        )

    def _read_csv(self, block: Block, types: dict[int, Any], null_texts: Iterable[str], ragged: dict[int, int]) -> Any:
        def skip(row: Any) -> str:
            ragged[row.number - 1] = row.actual_columns
            return "skip"

        return csv.read_csv(
            pa.BufferReader(block.content),
            csv.ReadOptions(
                use_threads=False,
                block_size=len(block.content) + 1,
                column_names=[str(index) for index in range(self._layout.n_columns)],
            ),
            csv.ParseOptions(
                delimiter=self._layout.delimiter,
                newlines_in_values=b'"' in block.content,
                invalid_row_handler=skip,
            ),
            csv.ConvertOptions(
                column_types={str(index): type_ for index, type_ in types.items()},
                include_columns=[str(index) for index in types],
                null_values=["", *null_texts],
                true_values=TRUE,
                false_values=FALSE,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


def _column_array(table: Any, index: int) -> Any:
    column = table.column(str(index))
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
