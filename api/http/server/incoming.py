"""The body of a request, as it arrives."""

from typing import Final

from api.http.server.chunks import ChunkedBody
from api.http.server.connections import Connections

PART_BYTES: Final = 64 * 1024
"""The application gets a body whole, or in parts of at least this size; up to this size, a body is not counted."""


class IncomingBody:
    """Takes the bytes of one body from the connection, and keeps them until the application takes them."""

    def __init__(self, n_bytes: int | None, connections: Connections, *, is_upload: bool = False) -> None:
        """Prepare for a body.

        Args:
            n_bytes: its size; None if it is chunked.
            connections: counts the memory of large bodies.
            is_upload: whether the application keeps no part of it: only what it has not taken is counted.
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
        """Whether a part of it has arrived."""

    @property
    def is_complete(self) -> bool:
        """Whether all of it has arrived."""
        return not self.n_missing if self._chunks is None else self._chunks.is_complete

    @property
    def is_ready(self) -> bool:
        """Whether the application can take a part."""
        return len(self._buffer) >= PART_BYTES or self.is_complete

    @property
    def n_waiting(self) -> int:
        """Bytes that have arrived, and that the application has not taken."""
        return len(self._buffer)

    def feed(self, data: bytes, start: int) -> int:
        """Take what has arrived.

        Args:
            data: what has arrived.
            start: where the body, or its next part, begins in `data`.

        Returns:
            Where it ends in `data`; for a chunked body of many small chunks, where decoding stopped.

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
        """Return what has arrived since the last call."""
        part = bytes(self._buffer)
        self._buffer = bytearray()
        if self._is_upload:
            self._n_counted = 0
            self._release()
        return part

    def discard(self) -> None:
        """Drop what has arrived, and what will: nobody takes it any more."""
        self._is_discarded = True
        self._buffer = bytearray()
        self._release()

    def _release(self) -> None:
        self._connections.release_body_bytes(self._n_held)
        self._n_held = 0
