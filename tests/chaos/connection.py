"""A minimal HTTP connection, because a chaos run sends thousands of requests on the machine that it measures."""

import asyncio
from typing import Any, NamedTuple

import msgspec


class ConnectionLost(Exception):
    """There was no response: the connection was refused, was closed or timed out."""


class Response(NamedTuple):
    """A status and a decoded JSON body."""

    status: int
    body: Any


class Connection:
    """Reuses its socket for the next request, and opens a new one if it is lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, seconds: float, body: bytes = b"", prefer: str = "") -> Response:
        """Send one request and wait for its response.

        Raises:
            ConnectionLost: there was no response.
        """
        head = f"{method} {path} HTTP/1.1\r\nHost: sepal\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\n" + (f"Prefer: {prefer}\r\n" if prefer else "")
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(head.encode() + b"\r\n" + body)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise ConnectionLost(type(error).__name__) from error

    def close(self) -> None:
        """Close the socket."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, request: bytes) -> Response:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        return Response(int(head.split()[1]), msgspec.json.decode(await reader.readexactly(length)))
