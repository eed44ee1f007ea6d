"""Decompresses the body of an upload within limits, and computes the fingerprint of the body as it was sent."""

import hashlib
import zlib
from typing import Any, Final

import pyarrow as pa

from shared.errors import BodyTooLarge, MalformedUpload, UnsupportedContentCoding

_CHUNK_BYTES: Final = 2**18
_MIN_BYTES_WITH_MAX_RATIO: Final = (
    2**24
)  # decompressed bytes; smaller bodies may have any ratio, such as those of mostly zeros
_GZIP_WINDOW_BITS: Final = 16 + zlib.MAX_WBITS


class SentBody:
    """The body as it was sent: counts its bytes and, if requested, hashes them."""

    def __init__(self, body: Any, *, is_fingerprinted: bool = False) -> None:
        self._body = body
        self._hash = hashlib.sha256() if is_fingerprinted else None
        self.n_bytes = 0
        self.closed = False  # read by pyarrow

    def read(self, n_bytes: int = -1) -> bytes:
        """Read at most `n_bytes` bytes; none at the end."""
        content: bytes = self._body.read(n_bytes)
        if self._hash is not None:
            self._hash.update(content)
        self.n_bytes += len(content)
        return content

    def close(self) -> None:
        """Do nothing: the caller owns the body."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the bytes read, in hexadecimal; empty if it was not requested."""
        return "" if self._hash is None else self._hash.hexdigest()


class GzipBody:
    """Decompresses a body of one or more gzip members (RFC 1952)."""

    def __init__(self, body: SentBody) -> None:
        self._body = body
        self._sent = b""
        self._has_ended = False
        self._inflate = zlib.decompressobj(_GZIP_WINDOW_BITS)
        self._is_within = False  # whether the position is within a member

    def read(self, n_bytes: int) -> bytes:
        """Read at most `n_bytes` bytes; none at the end.

        Raises:
            MalformedUpload: the body is not gzip, or ends within a member.
        """
        while not self._has_ended:
            if not self._sent:
                self._sent = self._body.read(_CHUNK_BYTES)
                self._has_ended = not self._sent
            if content := self._inflate_part(n_bytes):
                return content
        if self._is_within:
            raise MalformedUpload(f"The body ends within a gzip member, after {self._body.n_bytes} bytes.")
        return b""

    def _inflate_part(self, n_bytes: int) -> bytes:
        if not self._is_within:
            self._sent = self._sent.lstrip(b"\0") if self._body.n_bytes > len(self._sent) else self._sent
            if not self._sent:
                return b""
        self._is_within = True
        try:
            content = self._inflate.decompress(self._sent, n_bytes)
        except zlib.error as error:
            raise MalformedUpload(f"The body is not gzip, before byte {self._body.n_bytes}: {error}.") from None
        self._sent = self._inflate.unconsumed_tail
        if self._inflate.eof:
            self._sent = self._inflate.unused_data
            self._inflate = zlib.decompressobj(_GZIP_WINDOW_BITS)
            self._is_within = False
        return content


class ZstdBody:
    """Decompresses a body of one or more zstd frames (RFC 8878) with windows of at most 128 MB."""

    def __init__(self, body: SentBody) -> None:
        self._body = body
        self._inflate = pa.CompressedInputStream(pa.PythonFile(body, mode="r"), "zstd")

    def read(self, n_bytes: int) -> bytes:
        """Read at most `n_bytes` bytes; none at the end.

        Raises:
            MalformedUpload: the body is not zstd, or ends within a frame.
        """
        try:
            content: bytes = self._inflate.read(n_bytes)
        except (pa.ArrowInvalid, OSError) as error:
            if not isinstance(error, pa.ArrowException) and type(error) is not OSError:
                raise  # the connection was lost
            raise MalformedUpload(f"The body is not zstd, before byte {self._body.n_bytes}: {error}.") from None
        return content


class InflatedBody:
    """Limits the size and the ratio of a decompressed body."""

    def __init__(
        self, sent_body: SentBody, inflated_content: GzipBody | ZstdBody, max_bytes: int, max_ratio: int
    ) -> None:
        self._sent = sent_body
        self._content = inflated_content
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._n_bytes = 0

    def read(self, n_bytes: int) -> bytes:
        """Read at most `n_bytes` bytes; none at the end.

        Raises:
            MalformedUpload: the body cannot be decompressed.
            BodyTooLarge: the decompressed bytes, or their ratio to the bytes sent, exceed a limit.
        """
        content = self._content.read(n_bytes)
        self._n_bytes += len(content)
        if self._n_bytes > self._max_bytes:
            raise BodyTooLarge(
                f"The body has more than {self._max_bytes} bytes once it is decompressed (SEPAL_MAX_INFLATED_BYTES):"
                " send it in several predictions."
            )
        if self._n_bytes > max(_MIN_BYTES_WITH_MAX_RATIO, self._max_ratio * self._sent.n_bytes):
            raise BodyTooLarge(
                f"The body has become more than {self._max_ratio} times as large after {self._sent.n_bytes} bytes"
                " (SEPAL_MAX_INFLATE_RATIO): send it with less compression."
            )
        return content


def decode_content(sent_body: SentBody, content_coding: str, max_bytes: int, max_ratio: int) -> Any:
    """Return a reader of the body without its content coding.

    Args:
        sent_body: the body as it was sent.
        content_coding: the `Content-Encoding`; empty for none.
        max_bytes: the limit for the decompressed bytes.
        max_ratio: the limit for decompressed bytes per byte sent.

    Raises:
        UnsupportedContentCoding: the coding is neither gzip nor zstd.
    """
    if content_coding in ("", "identity"):
        return sent_body
    if content_coding in ("gzip", "x-gzip"):
        return InflatedBody(sent_body, GzipBody(sent_body), max_bytes, max_ratio)
    if content_coding == "zstd":
        return InflatedBody(sent_body, ZstdBody(sent_body), max_bytes, max_ratio)
    raise UnsupportedContentCoding("Send the body as it is, or compressed with gzip or zstd.")
