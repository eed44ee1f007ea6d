"""Responses that are sent while they are produced; if that fails midway, the connection is reset."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NoReturn

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.bulk.concurrency import run_until_first_ends

Parts = AsyncIterator[bytes | bytearray]


class _ClientGone(Exception):
    pass


class StreamedResponse(Response):
    """Sends the parts of a source, opened before the head is sent, so that opening can fail with an error response."""

    def __init__(
        self, open_parts: Callable[[], AbstractAsyncContextManager[Parts]], status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(status_code=status)
        self._open_parts = open_parts
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the response until it is complete, or until the client disconnects."""
        async with self._open_parts() as parts:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                await run_until_first_ends(_send(parts, send), _raise_on_disconnect(receive))
            except _ClientGone:
                pass


async def _send(parts: Parts, send: Send) -> None:
    async for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _raise_on_disconnect(receive: Receive) -> NoReturn:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _ClientGone
