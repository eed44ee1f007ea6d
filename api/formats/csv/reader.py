"""Reads CSV files."""

import csv
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from api.formats.conversion.carried import encode_carried_strings
from api.formats.conversion.columns import canonical_type
from api.formats.csv.blocks import MAX_ROW_BYTES, Block, find_invalid_byte, read_blocks
from api.formats.csv.parsing import BlockParser, CsvLayout
from api.formats.matching import displayed_name, match_columns
from api.formats.pieces import BadValue, Piece, bad_values_by_row
from api.formats.upload import Upload
from api.http.strict_json import to_pointer_token
from shared.errors import Fault, InvalidParameter, InvalidRows, MalformedUpload
from shared.names import Output

_FORBIDDEN_DELIMITERS: Final = frozenset('"\r\n\0')


class CsvReader:
    """The rows of a CSV file."""

    def __init__(self, upload: Upload) -> None:
        """Read the header.

        Raises:
            MalformedUpload: the first block cannot be parsed.
            InvalidRows: a column is unknown, missing or duplicate.
            InvalidParameter: the delimiter is invalid, or `carry` is given without a header.
        """
        job = upload.job
        if len(job.delimiter) != 1 or not job.delimiter.isascii() or job.delimiter in _FORBIDDEN_DELIMITERS:
            raise InvalidParameter("`delimiter` must be one ASCII character, and neither a quote nor a line break.")
        if job.carried and not job.has_header:
            raise InvalidParameter("Without a header the columns have no names to carry: leave out `carry`.")
        self._delimiter = job.delimiter
        self._columns = upload.columns
        self._names: Sequence[str] = [column.name for column in upload.columns]
        self._n_rows = -1 if job.has_header else 0
        self._blocks = read_blocks(upload.body)
        self._block = self._read_next_block()
        if job.has_header:
            self._read_header()
        self._features, carried = match_columns(self._names, upload.columns, job.carried, "Line 1, column")
        self._present = [
            (column, index) for column, index in zip(self._columns, self._features, strict=True) if index is not None
        ]
        layout = CsvLayout(self._present, carried, len(self._names), job.delimiter, job.null_texts)
        self._parse = BlockParser(layout, upload.settings.max_text_bytes)
        self.carried = [pa.string()] * len(carried)

    def outputs(self) -> tuple[Output, ...]:
        """Return no outputs: only the query string can request them."""
        return ()

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows in pieces.

        Raises:
            MalformedUpload: a block cannot be parsed.
        """
        while (block := self._block) is not None:
            if block.content.strip(b"\r\n"):  # pyarrow refuses a block without rows
                piece = self._read_piece(block)
                yield piece
                self._n_rows += len(piece.features[0])
            self._block = self._read_next_block()

    def _read_header(self) -> None:
        """Read the column names from the first block, and remove them from it."""
        while self._block is not None and not self._block.content.strip(b"\r\n"):
            self._block = self._read_next_block()
        block = self._block
        if block is None:
            raise InvalidRows([Fault("", "Line 1: there is no header: send the names of the columns, then the rows.")])
        lines = _LineReader(block.content)
        csv.field_size_limit(MAX_ROW_BYTES)
        try:
            self._names = next((row for row in csv.reader(lines, delimiter=self._delimiter) if row), [])
        except UnicodeDecodeError as error:
            raise self._malformed_upload_error(block, lines.n_bytes + error.start, "is not UTF-8") from None
        self._block = Block(block.content[lines.n_bytes :], block.first_line + lines.n_lines)
        self._n_rows = 0

    def _read_next_block(self) -> Block | None:
        block = next(self._blocks, None)
        if block is None:
            return None
        if len(block.content) > MAX_ROW_BYTES:
            raise self._malformed_upload_error(
                block, 0, f"begins a row of more than {MAX_ROW_BYTES} bytes: is a quote missing?"
            )
        if (found := find_invalid_byte(block, self._delimiter.encode())) is not None:
            raise self._malformed_upload_error(block, *found)
        return block

    def _read_piece(self, block: Block) -> Piece:
        try:
            parsed = self._parse(block)
        except pa.ArrowInvalid as error:
            raise self._unparsable_block_error(block, error) from None
        converted = [convert(array) for convert, array in zip(parsed.converters, parsed.features, strict=True)]
        bad = bad_values_by_row([column for column, _ in self._present], [each.bad for each in converted])
        features, carried = (
            [each.array for each in converted],
            [encode_carried_strings(each) for each in parsed.carried],
        )
        if parsed.ragged:
            rows = [row for row in range(parsed.n_rows) if row not in parsed.ragged]
            features, carried = _spread_rows(features, rows, parsed.n_rows), _spread_rows(carried, rows, parsed.n_rows)
            bad = {rows[row]: reasons for row, reasons in bad.items()}
            bad |= {row: [BadValue(None, self._cell_count_error(n_cells))] for row, n_cells in parsed.ragged.items()}
        by_index = dict(zip([index for _, index in self._present], features, strict=True))
        return Piece(
            [
                pa.nulls(parsed.n_rows, canonical_type(column)) if index is None else by_index[index]
                for column, index in zip(self._columns, self._features, strict=True)
            ],
            carried,
            bad,
            _RowLineLocator(block, parsed.n_rows),
        )

    def _cell_count_error(self, n_cells: int) -> str:
        cells = "1 cell" if n_cells == 1 else f"{n_cells} cells"
        return f"the row has {cells}, and must have {len(self._names)}, one for each column."

    def _unparsable_block_error(self, block: Block, error: Exception) -> MalformedUpload:
        try:
            block.content.decode()
        except UnicodeDecodeError as found:
            return self._malformed_upload_error(block, found.start, "is not UTF-8")
        return MalformedUpload(f"Line {block.first_line}, or a later line: {error}")

    def _malformed_upload_error(self, block: Block, offset: int, problem: str) -> MalformedUpload:
        line, row, cell = block.locate(offset, self._delimiter.encode())
        name = self._names[cell] if cell < len(self._names) else str(cell + 1)
        detail = f"Line {line}, column {displayed_name(name)}: {problem}."
        row += self._n_rows
        return MalformedUpload(detail, [Fault(f"/data/{row}{to_pointer_token(name)}" if row >= 0 else "", detail)])


class _LineReader:
    """Decodes lines one by one, and counts the bytes and lines read."""

    def __init__(self, content: bytes) -> None:
        self._lines = iter(content.splitlines(keepends=True))
        self.n_bytes = 0
        self.n_lines = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            text = line.decode()
            self.n_bytes += len(line)
            self.n_lines += 1
            yield text


class _RowLineLocator:
    """Returns the lines of rows of a block, as a `RowLocator`."""

    def __init__(self, block: Block, n_rows: int) -> None:
        self._block = block
        self._n_rows = n_rows

    @cached_property
    def _lines(self) -> Sequence[int]:
        if b'"' not in self._block.content and self._block.n_lines == self._n_rows:  # one line per row
            return range(self._block.first_line, self._block.first_line + self._n_rows)
        return self._block.row_lines()

    def __call__(self, rows: Sequence[int]) -> list[str]:
        return [f"Line {self._lines[row]}" for row in rows]


def _spread_rows(arrays: Sequence[Any], rows: Sequence[int], n_rows: int) -> list[Any]:
    """Move the values of arrays to the given rows; other rows are null."""
    positions: list[int | None] = [None] * n_rows
    for position, row in enumerate(rows):
        positions[row] = position
    indices = pa.array(positions, pa.int64())
    return [array.take(indices) for array in arrays]
