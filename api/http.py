"""uvicorn's HTTP protocol, with the head and the body of a response in one system call.

uvicorn writes them one after the other, and uvloop hands each write to the kernel at once: twice the cost of the most
expensive thing that a gateway does for a row, for it and for its client.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class GatheringTransport:
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

    def connection_made(self, transport: Any) -> None:
        """Take a new connection."""
        super().connection_made(GatheringTransport(transport))  # type: ignore[arg-type]
