"""Holds an HTTP client to the OpenAPI schema of a gateway: it sends, and sees, only what is described there.

Each transport wraps another one. A request that the schema does not describe fails the test. What the schema does not
describe in a response is removed before the client sees it, so that a client that needs it fails.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from tests.documentation import EVENT_STREAM, Documentation, Operation, Schema

_DATA = b"data:"


class DocumentedTransport(httpx.BaseTransport):
    """For `httpx.Client`."""

    def __init__(self, wrapped: httpx.BaseTransport, schema: Schema) -> None:
        self._wrapped = wrapped
        self._documentation = Documentation(schema)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Check a request, send it, and return the documented parts of the response."""
        operation = self._documentation.operation(request)
        operation.check_head(request)
        if _has_json(request.headers):
            request.read()
            operation.check_body(request)
        response = self._wrapped.handle_request(request)
        try:
            shown = _Shown(operation, request, response)
            if shown.is_json:
                return shown.with_json(response.read())
        except BaseException:
            response.close()
            raise
        assert isinstance(response.stream, httpx.SyncByteStream)
        return shown.with_stream(_Events(shown, response.stream) if shown.is_events else response.stream)

    def close(self) -> None:
        """Close the other transport."""
        self._wrapped.close()


class AsyncDocumentedTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient`."""

    def __init__(self, wrapped: httpx.AsyncBaseTransport, schema: Schema) -> None:
        self._wrapped = wrapped
        self._documentation = Documentation(schema)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check a request, send it, and return the documented parts of the response."""
        operation = self._documentation.operation(request)
        operation.check_head(request)
        if _has_json(request.headers):
            await request.aread()
            operation.check_body(request)
        response = await self._wrapped.handle_async_request(request)
        try:
            shown = _Shown(operation, request, response)
            if shown.is_json:
                return shown.with_json(await response.aread())
        except BaseException:
            await response.aclose()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return shown.with_stream(_AsyncEvents(shown, response.stream) if shown.is_events else response.stream)

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._wrapped.aclose()


class _Shown:
    """The documented parts of a response."""

    def __init__(self, operation: Operation, request: httpx.Request, response: httpx.Response) -> None:
        has_content = request.method != "HEAD" and response.status_code not in (204, 304)
        self._operation = operation
        self._response = response
        self._schema = operation.response_schema(response, has_content=has_content)
        self._headers = operation.response_headers(response)
        media_type = response.headers.get("content-type", "").partition(";")[0]
        self.is_json = has_content and media_type.endswith(("/json", "+json"))
        self.is_events = has_content and media_type == EVENT_STREAM

    def with_json(self, content: bytes) -> httpx.Response:
        shown = self.documented(content)
        changed = {"content-encoding": None, "transfer-encoding": None, "content-length": str(len(shown))}
        kept = [(name, value) for name, value in self._headers if name not in changed]
        added = [(name, value) for name, value in changed.items() if value is not None]
        return self._respond([*kept, *added], httpx.ByteStream(shown))

    def with_stream(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
        return self._respond(self._headers, stream)

    def _respond(
        self, headers: list[tuple[str, str]], stream: httpx.SyncByteStream | httpx.AsyncByteStream
    ) -> httpx.Response:
        response = self._response
        return httpx.Response(response.status_code, headers=headers, stream=stream, extensions=response.extensions)

    def documented(self, content: bytes) -> bytes:
        value: Any = json.loads(content)
        return json.dumps(self._operation.documented(self._schema, value)).encode()

    def event(self, line: bytes) -> bytes:
        """Return a line of an event stream with the documented parts of its data."""
        if not line.startswith(_DATA):
            return line
        return b"%b %b\n" % (_DATA, self.documented(line.removeprefix(_DATA)))


class _Events(httpx.SyncByteStream):
    """An event stream, line by line."""

    def __init__(self, shown: _Shown, stream: httpx.SyncByteStream) -> None:
        self._shown = shown
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for part in self._stream:
            *lines, rest = _lines(rest + part)
            for line in lines:
                yield self._shown.event(line)
        yield rest

    def close(self) -> None:
        self._stream.close()


class _AsyncEvents(httpx.AsyncByteStream):
    """An event stream, line by line."""

    def __init__(self, shown: _Shown, stream: httpx.AsyncByteStream) -> None:
        self._shown = shown
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = b""
        async for part in self._stream:
            *lines, rest = _lines(rest + part)
            for line in lines:
                yield self._shown.event(line)
        yield rest

    async def aclose(self) -> None:
        await self._stream.aclose()


def _lines(text: bytes) -> list[bytes]:
    """Split a string after each line feed."""
    *lines, rest = text.split(b"\n")
    return [*(line + b"\n" for line in lines), rest]


def _has_json(headers: httpx.Headers) -> bool:
    return str(headers.get("content-type", "")).partition(";")[0].strip() == "application/json"
