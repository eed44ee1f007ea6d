"""Decodes chunked bodies (RFC 9112, section 7.1)."""

import re
from enum import Enum, auto
from typing import Final

from api.http.problems import HEADERS_TOO_LARGE
from api.http.server.head import TOKEN
from api.http.server.refusals import Refused, body_too_large, malformed_request
from api.settings import ConnectionSettings

CHUNKS_PER_TURN: Final = 256  # decoded in half a millisecond; after that many, other connections have their turn
_SMALL_BYTES: Final = 16  # the bytes by which chunks are smaller are limited like the body: each chunk takes time
_FREE_SIZE_DIGITS: Final = 8  # digits that do not count as an extension: some clients pad the size with zeros
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSION: Final = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, _QUOTED)
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]+)(?:%b)*" % _EXTENSION)
_PLAIN_CHUNK: Final = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]{0,7})\r\n")
_TRAILER: Final = re.compile(rb"%b:[\t -~\x80-\xff]*" % TOKEN)
_MAX_SIZE_DIGITS: Final = 15


class _ExpectedPart(Enum):
    SIZE = auto()
    DATA = auto()
    LINE_END = auto()
    TRAILERS = auto()
    NOTHING = auto()


class ChunkedBody:
    """Decodes one body as it arrives. Extensions are ignored, and trailers are discarded."""

    def __init__(self, limits: ConnectionSettings, *, is_upload: bool = False) -> None:
        self._limits = limits
        self._max_bytes = limits.max_upload_bytes if is_upload else limits.max_body_bytes
        self._expects = _ExpectedPart.SIZE
        self._missing = 0  # bytes of the current chunk
        self._line = b""  # a line that has not arrived completely
        self._n_bytes = 0
        self._n_lacking = 0
        self._n_extension_bytes = 0
        self._n_trailer_bytes = 0

    @property
    def is_complete(self) -> bool:
        """Whether the body and its trailers have ended."""
        return self._expects is _ExpectedPart.NOTHING

    def feed(self, data: bytes, start: int, body: bytearray) -> int:
        """Decode a part of the body.

        Args:
            data: the received bytes.
            start: the offset of the part in `data`.
            body: receives the decoded bytes.

        Returns:
            The offset in `data` where decoding stopped: at its end, after the body, or after `CHUNKS_PER_TURN` chunks.

        Raises:
            Refused: the coding is malformed, or a limit is exceeded.
        """
        for _ in range(CHUNKS_PER_TURN):
            if start >= len(data) or self.is_complete:
                break
            if self._expects is _ExpectedPart.SIZE and not self._line and (plain := _PLAIN_CHUNK.match(data, start)):
                start = self._take_plain_chunk(data, plain, body)
            elif self._expects is _ExpectedPart.DATA:
                start = self._take_data(data, start, body)
            else:
                start = self._take_line(data, start)
        return start

    def _take_plain_chunk(self, data: bytes, plain_match: re.Match[bytes], body: bytearray) -> int:
        """Decode a chunk without extensions in one step, or its first line if the rest has not arrived."""
        begin = plain_match.end()
        self._count_chunk(size := int(plain_match[1], 16))
        end = begin + size
        if data[end : end + 2] == b"\r\n":
            body += data[begin:end]
            return end + 2
        self._missing, self._expects = size, _ExpectedPart.DATA
        return begin

    def _take_data(self, data: bytes, start: int, body: bytearray) -> int:
        part = data[start : start + self._missing]
        body += part
        self._missing -= len(part)
        if not self._missing:
            self._expects = _ExpectedPart.LINE_END
        return start + len(part)

    def _take_line(self, data: bytes, start: int) -> int:
        end = data.find(b"\n", start)
        if end < 0:
            self._line += data[start:]
            self._check_length(len(self._line))
            return len(data)
        line = self._line + data[start:end]
        self._line = b""
        if not line.endswith(b"\r"):
            raise malformed_request("A line of the chunked body does not end with CRLF.")
        self._check_length(len(line))
        self._handle_line(line[:-1])
        return end + 1

    def _check_length(self, n_bytes: int) -> None:
        """Check the length of a line before its end has arrived."""
        if self._expects is _ExpectedPart.TRAILERS:
            if self._n_trailer_bytes + n_bytes > self._limits.max_trailer_bytes + 1:
                raise Refused(HEADERS_TOO_LARGE, f"Trailers may have {self._limits.max_trailer_bytes} bytes together.")
        elif self._expects is _ExpectedPart.LINE_END:
            if n_bytes > 1:
                raise malformed_request("A chunk is longer than its size.")
        elif self._n_extension_bytes + n_bytes > self._limits.max_chunk_extension_bytes + _FREE_SIZE_DIGITS + 1:
            raise body_too_large()

    def _handle_line(self, line: bytes) -> None:
        if self._expects is _ExpectedPart.SIZE:
            self._begin_chunk(line)
        elif self._expects is _ExpectedPart.LINE_END:
            self._expects = _ExpectedPart.SIZE
        elif not line:
            self._expects = _ExpectedPart.NOTHING
        elif _TRAILER.fullmatch(line):
            self._n_trailer_bytes += len(line) + 2
        else:
            raise malformed_request("A trailer is malformed.")

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise malformed_request("The size of a chunk must be a hexadecimal number.")
        self._n_extension_bytes += max(len(line) - _FREE_SIZE_DIGITS, 0)
        digits = match[1].lstrip(b"0")
        self._missing = int(digits[:_MAX_SIZE_DIGITS] or b"0", 16)
        self._count_chunk(self._missing)
        self._expects = _ExpectedPart.DATA if self._missing else _ExpectedPart.TRAILERS

    def _count_chunk(self, size: int) -> None:
        self._n_bytes += size
        self._n_lacking += max(_SMALL_BYTES - size, 0)
        if max(self._n_bytes, self._n_lacking - _SMALL_BYTES) > self._max_bytes:
            raise body_too_large()
