"""What a connection does between its last response and its end: it discards what still arrives.

If it were closed at once, the operating system would reset it, and the client might lose the response (RFC 9112,
section 9.6).
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

SECONDS: Final = 2.0
"""How long a client may take to read the response and to close."""
_UNTHROTTLED_BYTES: Final = 1024 * 1024
_PAUSE_SECONDS: Final = 0.05


class Linger:
    """Discards what a client sends: a first part as it comes, and the rest so slowly that it costs others little."""

    def __init__(self, transport: asyncio.Transport, flow: FlowControl, max_bytes: int) -> None:
        """Close this direction of the connection.

        Args:
            transport: of the connection; all responses have been written to it.
            flow: of the same connection.
            max_bytes: after so many bytes, the connection is reset.
        """
        self._transport = transport
        self._flow = flow
        self._max_bytes = max_bytes
        self._n_bytes = 0
        flow.resume_reading()
        transport.write_eof()

    def discard(self, n_bytes: int) -> None:
        """Count what has arrived."""
        self._n_bytes += n_bytes
        if self._n_bytes > self._max_bytes:
            self._transport.abort()
        elif self._n_bytes > _UNTHROTTLED_BYTES:
            self._flow.pause_reading()
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._resume_reading)

    def _resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._flow.resume_reading()
