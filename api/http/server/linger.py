"""Keeps a connection open for a moment after its last response, and discards what still arrives.

If it were closed immediately, the operating system would reset it, and the client might lose the response (RFC 9112,
section 9.6).
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

LINGER_SECONDS: Final = 2.0
"""How long a client may take to read the response and to close the connection."""
_UNTHROTTLED_BYTES: Final = 1024 * 1024
_PAUSE_SECONDS: Final = 0.05


class Linger:
    """Discards what a client sends: the first megabyte without delay, and the rest at a limited rate."""

    def __init__(self, transport: asyncio.Transport, flow: FlowControl, max_bytes: int) -> None:
        """Close the sending direction of the connection.

        Args:
            transport: of the connection; all responses have been written to it.
            flow: of the same connection.
            max_bytes: the number of discarded bytes after which the connection is reset.
        """
        self._transport = transport
        self._flow = flow
        self._max_bytes = max_bytes
        self._n_bytes = 0
        flow.resume_reading()
        transport.write_eof()

    def discard(self, n_bytes: int) -> None:
        """Count bytes that are discarded."""
        self._n_bytes += n_bytes
        if self._n_bytes > self._max_bytes:
            self._transport.abort()
        elif self._n_bytes > _UNTHROTTLED_BYTES:
            self._flow.pause_reading()
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._resume_reading)

    def _resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._flow.resume_reading()
