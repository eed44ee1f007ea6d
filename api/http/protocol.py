"""uvicorn's HTTP protocol with two changes.

The head and the body of a response are sent in one system call. uvicorn writes them separately, and uvloop passes each
write to the kernel at once. This system call is the most expensive step of a single-row request, for the gateway and
for its client.

At shutdown, an idle connection stays open for one more second, and a request that arrives in that second is answered.
uvicorn closes idle connections at once, and a request that is already on its way is lost.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LAST_REQUEST_SECONDS: Final = 1.0


class CoalescingTransport:
    """A transport that joins all writes of one event loop iteration into one."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data, together with all other data written in this event loop iteration."""
        if not self._buffer:
            self._loop.call_soon(self._flush_if_open)
        self._buffer.append(data)

    def close(self) -> None:
        """Send the buffered data, then close."""
        self._flush()
        self._transport.close()

    def _flush_if_open(self) -> None:
        if not self._transport.is_closing():  # otherwise the client has disconnected
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            data = b"".join(self._buffer)
            self._buffer.clear()
            self._transport.write(data)


class HttpProtocol(HttpToolsProtocol):
    """The HTTP protocol of `python -m api`."""

    _is_shutting_down = False

    def connection_made(self, transport: Any) -> None:
        """Wrap the transport of a new connection."""
        super().connection_made(CoalescingTransport(transport))  # type: ignore[arg-type]

    def shutdown(self) -> None:
        """Close the connection once it is idle; the server calls this after it has stopped listening."""
        if not self._is_idle():
            super().shutdown()
            return
        self._is_shutting_down = True
        self.loop.call_later(_LAST_REQUEST_SECONDS, self._close_if_idle)

    def on_headers_complete(self) -> None:
        """Begin a request; during a shutdown it is the last one of its connection."""
        super().on_headers_complete()
        if self._is_shutting_down and self.cycle is not None:
            self.cycle.keep_alive = False

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()
