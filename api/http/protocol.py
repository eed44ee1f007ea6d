"""uvicorn's HTTP protocol, with two things done otherwise.

The head and the body of a response go out in one system call. uvicorn writes them one after the other, and uvloop hands
each write to the kernel at once: twice the cost of the most expensive thing that a gateway does for a row, for it and
for its client.

A gateway that is told to stop closes an idle connection a second later, and answers what still comes over it: a client
that was just about to send would otherwise lose its request without a word.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LAST_REQUEST_SECONDS: Final = 1.0


class CoalescingTransport:
    """A transport that holds writes back until the event loop comes round."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data, together with what else is written in this turn of the loop."""
        if not self._held:
            self._loop.call_soon(self._flush_later)
        self._held.append(data)

    def close(self) -> None:
        """Close, after what was written."""
        self._flush()
        self._transport.close()

    def _flush_later(self) -> None:
        if not self._transport.is_closing():  # the client has gone meanwhile
            self._flush()

    def _flush(self) -> None:
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._transport.write(data)


class HttpProtocol(HttpToolsProtocol):
    """What `python -m api` serves with."""

    _is_leaving = False

    def connection_made(self, transport: Any) -> None:
        """Take a new connection."""
        super().connection_made(CoalescingTransport(transport))  # type: ignore[arg-type]

    def shutdown(self) -> None:
        """Called by the server when it is told to stop, after it has stopped listening."""
        if not self._is_idle():
            super().shutdown()
            return
        self._is_leaving = True
        self.loop.call_later(_LAST_REQUEST_SECONDS, self._close_if_idle)

    def on_headers_complete(self) -> None:
        """Begin a request; it is the last one of a connection that is about to be closed."""
        super().on_headers_complete()
        if self._is_leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()
