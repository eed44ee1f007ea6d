"""httpx transports that lose the connection during the first response with a resumable file."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx


class Cutting(httpx.BaseTransport):
    """Cuts files that can be resumed."""

    def __init__(self, wrapped: httpx.BaseTransport, cuts: list[str]) -> None:
        self._wrapped = wrapped
        self._cuts = cuts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return _cut(request, self._wrapped.handle_request(request), self._cuts)

    def close(self) -> None:
        self._wrapped.close()


class AsyncCutting(httpx.AsyncBaseTransport):
    """Cuts files that can be resumed."""

    def __init__(self, wrapped: httpx.AsyncBaseTransport, cuts: list[str]) -> None:
        self._wrapped = wrapped
        self._cuts = cuts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return _cut(request, await self._wrapped.handle_async_request(request), self._cuts)

    async def aclose(self) -> None:
        await self._wrapped.aclose()


def _cut(request: httpx.Request, response: httpx.Response, cuts: list[str]) -> httpx.Response:
    """Cut the response with a whole file that can be resumed; what a client asks for then is a part of it."""
    if response.status_code == 200 and "accept-ranges" in response.headers:
        response.stream = _Cut(response.stream)
        cuts.append(request.url.path)
    return response


class _Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response of which the client gets a few bytes before the connection is lost."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            yield part[:100]
            raise httpx.ReadError("cut by the test")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part[:100]
            raise httpx.ReadError("cut by the test")

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()
