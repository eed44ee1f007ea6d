"""The body of a request, as it arrives."""

from typing import Final

from api.http.server.chunks import ChunkedBody
from api.http.server.connections import Connections

PART_BYTES: Final = 64 * 1024
"""Minimum size of the parts of a body. Bodies up to this size do not count towards `SEPAL_MAX_BODIES_BYTES`."""


class IncomingBody:
    """Receives the bytes of one body, and buffers them until the application takes them."""

    def __init__(self, n_bytes: int | None, connections: Connections, *, is_upload: bool = False) -> None:
        """Prepare for a body.

        Args:
            n_bytes: its size; None if it is chunked.
            connections: counts the memory of large bodies.
            is_upload: whether the application keeps no part of the body, so that only buffered bytes are counted.
        """
        self._chunks = ChunkedBody(connections.limits, is_upload=is_upload) if n_bytes is None else None
        self._is_upload = is_upload
        self._connections = connections
        self._buffer = bytearray()
        self._n_counted = 0
        self._n_held = 0
        self._is_discarded = False
        self.n_missing = n_bytes
        """Bytes that have not arrived; None if that is unknown."""
        self.has_begun = False
        """Whether the first byte has arrived."""

    @property
    def is_complete(self) -> bool:
        """Whether the whole body has arrived."""
        return not self.n_missing if self._chunks is None else self._chunks.is_complete

    @property
    def is_ready(self) -> bool:
        """Whether the application can take a part."""
        return len(self._buffer) >= PART_BYTES or self.is_complete

    @property
    def n_waiting_bytes(self) -> int:
        """The number of bytes that the application has not taken yet."""
        return len(self._buffer)

    def feed(self, data: bytes, start: int) -> int:
        """Buffer received bytes of the body.

        Args:
            data: the received bytes.
            start: the offset of the body's next byte in `data`.

        Returns:
            The offset of the first byte that was not used: after the body, or after some of many small chunks.

        Raises:
            Refused: the body is malformed or too large.
        """
        before = len(self._buffer)
        if self._chunks is not None:
            end = self._chunks.feed(data, start, self._buffer)
        else:
            assert self.n_missing is not None, "known unless the body is chunked"
            self._buffer += data[start : start + self.n_missing]
            end = start + len(self._buffer) - before
            self.n_missing -= end - start
        self.has_begun = self.has_begun or end > start
        self._n_counted += len(self._buffer) - before
        if self._is_discarded:
            self._buffer.clear()
        elif self._n_counted > PART_BYTES:
            self._connections.hold_body_bytes(self._n_counted - self._n_held)
            self._n_held = self._n_counted
        return end

    def take(self) -> bytes:
        """Return the bytes that have arrived since the last call."""
        part = bytes(self._buffer)
        self._buffer = bytearray()
        if self._is_upload:
            self._n_counted = 0
            self._release()
        return part

    def discard(self) -> None:
        """Discard the buffered bytes, and all bytes that arrive later."""
        self._is_discarded = True
        self._buffer = bytearray()
        self._release()

    def _release(self) -> None:
        self._connections.release_body_bytes(self._n_held)
        self._n_held = 0
