"""Reads NDJSON, one row per line."""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pyarrow as pa

from api.formats.json.decoding import RowForm
from api.formats.json.piece_reader import PieceReader
from api.formats.pieces import Piece
from api.formats.upload import Upload
from api.http.strict_json import parse_at
from shared.errors import Fault, InvalidRows, MalformedJson, MalformedUpload
from shared.names import Output

_BLOCK_BYTES: Final = 2**20
_MAX_LINE_BYTES: Final = 2**24
_SPACE: Final = b" \t\r\n"


class _Block(NamedTuple):
    """Consecutive whole lines."""

    content: bytes
    """Without whitespace at its ends."""
    first_line: int
    """The number of its first line in the body, from 1."""

    def numbered_lines(self) -> list[tuple[int, bytes]]:
        """Return the numbers and contents of the lines that are not blank."""
        numbered = enumerate(self.content.split(b"\n"), self.first_line)
        return [(number, line) for number, text in numbered if (line := text.strip(_SPACE))]


class NdjsonReader:
    """The rows of an NDJSON file."""

    def __init__(self, upload: Upload) -> None:
        """Read nothing yet."""
        self.carried = [pa.string()] * len(upload.job.carried)
        self._upload = upload
        self._n_rows = 0

    def outputs(self) -> tuple[Output, ...]:
        """Return no outputs: only the query string can request them."""
        return ()

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows in pieces.

        Raises:
            MalformedUpload: a line is not JSON, or too long.
            InvalidRows: `carry` is given, and the rows are not objects.
        """
        reader: PieceReader | None = None
        for block in _read_blocks(self._upload.body):
            reader = reader or PieceReader(self._upload, RowForm.detect(block.content), is_ndjson=True)
            piece = self._read_piece(reader, block)
            yield piece
            self._n_rows += len(piece.features[0])

    def _read_piece(self, reader: PieceReader, block: _Block) -> Piece:
        n_lines = block.content.count(b"\n") + 1
        piece = reader.read_whole_piece(
            block.content, lambda rows: [f"Line {block.first_line + row}" for row in rows], n_lines
        )
        if piece is not None:
            return piece
        lines = block.numbered_lines()
        rows = [(self._parse_line(index, *line), line[1]) for index, line in enumerate(lines)]
        return reader.read_row_by_row(rows, lambda rows: [f"Line {lines[row][0]}" for row in rows])

    def _parse_line(self, index: int, line: int, content: bytes) -> Any:
        """Parse a line; return the error if it has a duplicate member."""
        try:
            text = content.decode()
            value, end = parse_at(text, 0)
            if end == len(text):
                return value
            problem = f"character {end + 1}: there must be nothing after the row"
        except InvalidRows as repeated:
            return repeated
        except json.JSONDecodeError as error:
            problem = f"character {error.pos + 1}: it is not JSON: {error.msg}"
        except UnicodeDecodeError as error:
            problem = f"byte {error.start + 1}: it is not UTF-8"
        except MalformedJson as error:
            problem = f"character 1: {str(error).rstrip('.')}"
        detail = f"Line {line}, {problem}."
        raise MalformedUpload(detail, [Fault(f"/data/{self._n_rows + index}", detail)])


def _read_blocks(body: Any) -> Iterator[_Block]:
    pending, line = b"", 1
    while chunk := body.read(_BLOCK_BYTES):
        pending += chunk
        end = pending.rfind(b"\n") + 1
        yield from _trim_block(pending[:end], line)
        line += pending.count(b"\n", 0, end)
        pending = pending[end:]
        if len(pending) > _MAX_LINE_BYTES:
            raise MalformedUpload(f"Line {line} has more than {_MAX_LINE_BYTES} bytes: send a row to a line.")
    yield from _trim_block(pending, line)


def _trim_block(content: bytes, line: int) -> Iterator[_Block]:
    rows = content.lstrip(_SPACE)
    if rows:
        blank = content[: len(content) - len(rows)]
        yield _Block(rows.rstrip(_SPACE), line + blank.count(b"\n"))
