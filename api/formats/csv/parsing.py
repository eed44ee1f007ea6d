"""Parses blocks of CSV into columns.

A block is parsed into columns of the types of the model card. Columns for which pyarrow fails, or accepts cells that
Sepal does not accept, are parsed into strings, which `api.formats.conversion.cells` converts.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from api.formats.conversion.cells import FALSE_CELLS, TRUE_CELLS
from api.formats.conversion.columns import ColumnConverter, decoded_type
from api.formats.csv.blocks import Block
from shared.columns import Column

_HEXADECIMAL: Final = re.compile(rb"0[xX]")  # pyarrow parses hexadecimal integers
_FAILED_COLUMN: Final = re.compile(r"In CSV column #(\d+): ")
_MAX_ATTEMPTS: Final = 4  # then all columns are parsed into strings


class CsvLayout(NamedTuple):
    """The columns of the upload, and how its cells are written."""

    columns: Sequence[tuple[Column, int]]
    """The columns of the model card that the upload has, with their indices in the upload."""
    carried: Sequence[int]
    n_columns: int
    delimiter: str
    null_texts: Sequence[str]
    """Cells that are missing values, in addition to the empty cell; not in carried columns."""


class ParsedBlock(NamedTuple):
    """The columns of a block, without rows that have the wrong number of cells."""

    features: Sequence[Any]
    """The columns of the model card, as input for `converters`."""
    converters: Sequence[ColumnConverter]
    carried: Sequence[Any]
    n_rows: int
    """Including the ragged rows."""
    ragged: dict[int, int]
    """The number of cells of each row that does not have one for each column, by its index."""


class BlockParser:
    """Parses the blocks of an upload."""

    def __init__(self, layout: CsvLayout, max_text_bytes: int) -> None:
        """Plan the conversions.

        Args:
            layout: the layout of the upload.
            max_text_bytes: the maximum size of a string.
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

    def __call__(self, block: Block) -> ParsedBlock:
        """Parse a block.

        Raises:
            pyarrow.ArrowInvalid: the block is not UTF-8.
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
        """Return the column that pyarrow reports in an error; all columns if it reports none."""
        found = _FAILED_COLUMN.search(error)
        return {int(found[1])} & self._types.keys() if found is not None else set(self._types)

    def _non_finite_columns(self, parsed_block: ParsedBlock) -> Iterator[int]:
        """Yield the columns with cells such as `nan`, which pyarrow parses as numbers."""
        for (_, index), array in zip(self._layout.columns, parsed_block.features, strict=True):
            if pa.types.is_floating(array.type) and not pc.all(pc.is_finite(array), min_count=0).as_py():
                yield index

    def _parse(self, block: Block, text_columns: set[int]) -> ParsedBlock:
        """Parse a block; parse the columns in `text_columns` into strings."""
        layout = self._layout
        types = {index: pa.string() if index in text_columns else type_ for index, type_ in self._types.items()}
        carried = dict.fromkeys(layout.carried, pa.string())
        ragged: dict[int, int] = {}
        if self._carries_features:
            table = self._read_csv(block, types, layout.null_texts, ragged)
            carried_table = self._read_csv(block, carried, (), {}) if carried else table
        else:
            table = carried_table = self._read_csv(block, types | carried, (), ragged)
        return ParsedBlock(
            [_column_array(table, index) for index in self._types],
            [
                (self._string_converters if index in text_columns else self._typed_converters)[index]
                for index in self._types
            ],
            [_column_array(carried_table, index) for index in layout.carried],
            table.num_rows + len(ragged),
            ragged,
        )

    def _read_csv(
        self, block: Block, types: dict[int, Any], null_texts: Iterable[str], cell_counts_by_row: dict[int, int]
    ) -> Any:
        def skip(row: Any) -> str:
            cell_counts_by_row[row.number - 1] = row.actual_columns
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
                true_values=TRUE_CELLS,
                false_values=FALSE_CELLS,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


def _column_array(table: Any, index: int) -> Any:
    column = table.column(str(index))
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
