"""Serializes HTTP/1.1 responses (RFC 9112)."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_LAST_CHUNK: Final = b"0\r\n\r\n"

Header = tuple[bytes, bytes]


class ResponseWriter:
    """Serializes one response: its head with the first part of the body, and then the other parts."""

    def __init__(self, *, is_head_request: bool, minor_version: int, keep_alive: bool) -> None:
        """Prepare for the response to one request.

        Args:
            is_head_request: whether the method of the request is HEAD, whose response has no body.
            minor_version: of the request's HTTP version; HTTP/1.0 has no chunks.
            keep_alive: whether the connection stays open.
        """
        self.keep_alive = keep_alive
        self.to_head = is_head_request
        self._minor_version = minor_version
        self._has_body = True
        self._is_chunked = False
        self._missing: int | None = None  # bytes of `Content-Length` that have not been written

    def begin(self, status: int, headers: Iterable[Header], body: bytes, *, has_more: bool) -> bytes:
        """Return the head of the response, and the first part of the body.

        Args:
            status: the HTTP status.
            headers: names in lower case.
            body: the first part of the body.
            has_more: whether other parts follow.

        Raises:
            ValueError: a header contains a line break, or the body is longer than its `Content-Length`.
        """
        lines, n_lines = [STATUS_LINES[status]], 2
        for name, value in headers:
            if name == b"connection":
                self.keep_alive = self.keep_alive and value.lower() != b"close"
                continue
            if name == b"content-length":
                self._missing = int(value)
            lines += (name, b": ", value, b"\r\n")
            n_lines += 1
        self._has_body = not self.to_head and status not in _WITHOUT_BODY
        if self._has_body and self._missing is None:
            lines.append(self._framing_header(body, has_more=has_more))
            n_lines += 1 if lines[-1] else 0
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
            n_lines += 1
        lines.append(b"\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != n_lines or head.count(b"\r") != n_lines or b"\0" in head:
            raise ValueError("a header of the response contains a line break")
        return b"".join((head, *self.next_part(body, has_more=has_more)))

    def next_part(self, body: bytes, *, has_more: bool) -> list[bytes]:
        """Return the bytes to send for the next part of the body, which is not copied.

        Raises:
            ValueError: the body is longer or shorter than its `Content-Length`.
        """
        if not self._has_body:
            return []
        if self._is_chunked:
            part = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
            return part if has_more else [*part, _LAST_CHUNK]
        if self._missing is not None:
            self._missing -= len(body)
            if self._missing < 0 or (self._missing and not has_more):
                raise ValueError("the body of the response has another size than its Content-Length")
        return [body] if body else []

    def _framing_header(self, body: bytes, *, has_more: bool) -> bytes:
        """Return the header that delimits the body, if the application has not set it."""
        if not has_more:
            self._missing = len(body)
            return b"content-length: %d\r\n" % len(body)
        if self._minor_version == 0:
            self.keep_alive = False  # the end of the connection is the end of the body
            return b""
        self._is_chunked = True
        return b"transfer-encoding: chunked\r\n"
