"""Reads JSON bodies like those of `POST /predict`: an object with the rows in "data", and optionally "outputs"."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from api.formats.json.decoding import RowForm
from api.formats.json.piece_reader import PieceReader
from api.formats.pieces import Piece
from api.formats.upload import Upload
from api.http.requested_outputs import OUTPUTS, read_outputs
from api.http.strict_json import parse_at, to_pointer_token, to_short_json
from shared.errors import BodyTooLarge, Fault, InvalidRows, MalformedJson, MalformedUpload
from shared.names import Output

_DATA: Final = "data"
_CHUNK_BYTES: Final = 2**20
_PIECE_BYTES: Final = 2**20
_WINDOW_BYTES: Final = 2**10
_MAX_ROW_BYTES: Final = 2**24
_TAIL_BYTES: Final = 4096
_WHITESPACE: Final = re.compile(rb"[ \t\r\n]*")
_ROW_SEPARATORS: Final = {
    RowForm.ARRAY: re.compile(rb"\][ \t\r\n]*,[ \t\r\n]*(?=\[)"),
    RowForm.OBJECT: re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*(?=\{)"),
    RowForm.TEXT: re.compile(rb'"[ \t\r\n]*,[ \t\r\n]*(?=")'),
}
"""A separator of two rows, unless it is within a string."""
_TAIL: Final = re.compile(rb'\]\s*(?:,\s*"outputs"\s*:\s*\[[^\[\]]*\]\s*)?\}\s*$')
"""The end of the body after the last row, if "data" is the last member or only "outputs" follows."""


class JsonReader:
    """The rows of a JSON body."""

    def __init__(self, upload: Upload) -> None:
        """Read nothing yet."""
        self.carried = [pa.string()] * len(upload.job.carried)
        self._upload = upload
        self._body = bytearray()
        """The bytes received; rows are read before the whole body is received."""
        self._has_all = False
        self._at = 0
        """The offset of the next byte to read."""
        self._n_rows = 0
        self._outputs: tuple[Output, ...] = ()

    def outputs(self) -> tuple[Output, ...]:
        """Return the outputs that the body requests."""
        return self._outputs

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows in pieces.

        Raises:
            MalformedUpload: the body is not JSON.
            InvalidRows: a member is unknown, missing, duplicate or invalid.
            BodyTooLarge: the body exceeds the limit for JSON.
        """
        self._skip_space()
        if not self._take_token(b"{"):
            self._take_value()  # raises an error if it is not JSON
            raise InvalidRows([Fault("", 'The body must be an object with the member "data".')])
        names: set[str] = set()
        more = not self._take_token(b"}")
        while more:
            name = self._read_member_name(names)
            if name == _DATA:
                yield from self._read_data()
            else:
                self._take_outputs(name)
            more = self._take_separator(b"}")
        if _DATA not in names:
            raise InvalidRows([Fault("/data", 'The member "data", an array of rows, is missing.')])
        if self._at < len(self._body):
            raise self._malformed_upload_error(self._at, "there must be nothing after the object")

    def _read_member_name(self, earlier_names: set[str]) -> str:
        if self._body[self._at : self._at + 1] != b'"':
            raise self._malformed_upload_error(self._at, "a member's name is missing")
        name: str = self._take_value()
        if name in earlier_names:
            raise InvalidRows(
                [Fault(to_pointer_token(name), f"{to_short_json(name)} occurs more than once: send it once.")]
            )
        earlier_names.add(name)
        if not self._take_token(b":"):
            raise self._malformed_upload_error(self._at, "a colon is missing")
        return name

    def _take_outputs(self, name: str) -> None:
        if name != OUTPUTS:
            detail = f'Unknown member {to_short_json(name)}: a body has "data", and may have "outputs".'
            raise InvalidRows([Fault(to_pointer_token(name), detail)])
        self._outputs = read_outputs(self._take_value(), self._upload.card)
        if self._upload.job.outputs:
            detail = '"outputs" is in the query string, too: send it once.'
            raise InvalidRows([Fault(f"/{OUTPUTS}", detail)])

    def _read_data(self) -> Iterator[Piece]:
        if not self._take_token(b"["):
            value = self._take_value()
            raise InvalidRows([Fault("/data", f'"data" must be an array of rows; {to_short_json(value)} is none.')])
        if self._take_token(b"]"):
            return
        form = RowForm.detect(bytes(self._body[self._at : self._at + 1]))
        reader = PieceReader(self._upload, form, is_ndjson=False)
        more = True
        while more:
            piece = self._read_piece(reader, form)
            yield piece
            self._n_rows += len(piece.features[0])
            more = self._take_separator(b"]")

    def _read_piece(self, reader: PieceReader, form: RowForm) -> Piece:
        def locate_rows(rows: Any) -> list[str]:
            return [f"Row {first + row}" for row in rows]

        first = self._n_rows
        end = self._guess_piece_end(form)
        # These bytes begin with a row: if they decode as the rows of an array, they also end with a row.
        piece = (
            reader.read_whole_piece(bytes(memoryview(self._body)[self._at : end]), locate_rows)
            if end > self._at
            else None
        )
        if piece is not None:
            self._at = end
            self._skip_space()
            return piece
        piece = reader.read_row_by_row(list(self._parse_rows()), locate_rows)
        self._n_rows = first
        return piece

    def _guess_piece_end(self, form: RowForm) -> int:
        """Return a probable end of the piece; -1 if none is found."""
        limit = self._at + 2 * _PIECE_BYTES
        self._receive(limit + _TAIL_BYTES)
        if len(self._body) <= limit + _TAIL_BYTES and self._has_all:
            tail = _TAIL.search(self._body, max(self._at, len(self._body) - _TAIL_BYTES))
            return -1 if tail is None else tail.start()
        found = _ROW_SEPARATORS[form].search(self._body, self._at + _PIECE_BYTES, limit)
        return -1 if found is None else found.start() + 1

    def _parse_rows(self) -> Iterator[tuple[Any, bytes]]:
        """Parse about a mebibyte of rows one by one; stop before the comma or bracket after the last one."""
        stop = self._at + _PIECE_BYTES
        while True:
            value, end = self._parse_value()
            yield value, bytes(self._body[self._at : end])
            self._n_rows += 1
            self._at = end
            self._skip_space()
            if self._at >= stop or not self._body.startswith(b",", self._at):
                return
            self._take_token(b",")

    def _take_value(self) -> Any:
        """Parse the next value, and move behind it."""
        value, self._at = self._parse_value()
        self._skip_space()
        if isinstance(value, InvalidRows):
            raise value
        return value

    def _parse_value(self) -> tuple[Any, int]:
        """Parse the next value; return it, or the error if it has a duplicate member, and the offset of its end."""
        n_bytes = _WINDOW_BYTES
        while True:
            self._receive(self._at + n_bytes)
            end = min(self._at + n_bytes, len(self._body))
            is_all = self._has_all and end == len(self._body)
            try:
                text = codecs.getincrementaldecoder("utf-8")().decode(self._body[self._at : end], is_all)
                value, n_characters = _parse_text(text)
                if is_all or n_characters < len(text):  # a number at the end of the window may be incomplete
                    return value, self._at + len(text[:n_characters].encode())
            except UnicodeDecodeError as error:
                raise self._malformed_upload_error(self._at + error.start, "it is not UTF-8") from None
            except MalformedJson as error:
                raise self._malformed_upload_error(self._at, str(error).rstrip(".")) from None
            except json.JSONDecodeError as error:
                if is_all:
                    at = self._at + len(text[: error.pos].encode())
                    raise self._malformed_upload_error(at, f"it is not JSON: {error.msg}") from None
            if n_bytes > _MAX_ROW_BYTES:
                raise self._malformed_upload_error(
                    self._at, f"it has a value of more than {_MAX_ROW_BYTES} bytes, or is not JSON"
                )
            n_bytes *= 16

    def _take_token(self, token: bytes) -> bool:
        if not self._body.startswith(token, self._at):
            return False
        self._at += len(token)
        self._skip_space()
        return True

    def _take_separator(self, end_token: bytes) -> bool:
        if self._take_token(b","):
            return True
        if not self._take_token(end_token):
            raise self._malformed_upload_error(self._at, f"a comma or {end_token.decode()} is missing")
        return False

    def _skip_space(self) -> None:
        """Skip whitespace, and receive the byte that follows it, if there is one."""
        is_end = False
        while not is_end:
            self._receive(self._at + 1)
            space = _WHITESPACE.match(self._body, self._at)
            assert space is not None, "it also matches an empty string"
            self._at = space.end()
            is_end = self._has_all or self._at < len(self._body)

    def _receive(self, n_bytes: int) -> None:
        """Receive the first `n_bytes` bytes of the body, or all of it."""
        max_bytes = self._upload.settings.max_json_bytes
        while len(self._body) < n_bytes and not self._has_all:
            chunk = self._upload.body.read(_CHUNK_BYTES)
            self._has_all = not chunk
            self._body += chunk
            if len(self._body) > max_bytes:
                raise BodyTooLarge(
                    f"A JSON body may have at most {max_bytes} bytes (SEPAL_MAX_JSON_UPLOAD_BYTES): "
                    "send NDJSON, CSV or Parquet."
                )

    def _malformed_upload_error(self, offset: int, problem: str) -> MalformedUpload:
        line = self._body.count(b"\n", 0, offset) + 1
        character = offset - self._body.rfind(b"\n", 0, offset)
        detail = f"Row {self._n_rows}, at line {line}, character {character}: {problem}."
        return MalformedUpload(detail, [Fault(f"/data/{self._n_rows}", detail)])


def _parse_text(text: str) -> tuple[Any, int]:
    try:
        return parse_at(text, 0)
    except InvalidRows as repeated:
        return repeated, json.JSONDecoder().raw_decode(text)[1]
