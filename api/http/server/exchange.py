"""One request and its response, as the ASGI application sees them."""

import asyncio
from typing import Any, Final, Protocol

import structlog
from starlette.types import ASGIApp, Message

from api.http import problems
from api.http.server.head import Head
from api.http.server.incoming_body import PART_BYTES, IncomingBody
from api.http.server.response import Header, ResponseWriter

log = structlog.get_logger(__name__)

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Wire(Protocol):
    """The connection, as an exchange uses it."""

    @property
    def default_headers(self) -> list[Header]:
        """Headers of every response."""

    def write(self, *parts: bytes) -> None:
        """Send data."""

    async def drain(self) -> None:
        """Wait until the client has read enough of what was sent."""

    def continue_reading(self) -> None:
        """Continue reading the body: the application waits for it."""

    def on_response_complete(self) -> None:
        """Called when the whole response has been sent."""

    def abort(self) -> None:
        """Reset the connection: the response cannot be completed."""


class Exchange:
    """Passes one request to the application, and its response to the connection."""

    def __init__(self, wire: Wire, scope: dict[str, Any], head: Head, body: IncomingBody) -> None:
        self._wire = wire
        self._scope = scope
        self.body = body
        self.writer = ResponseWriter(
            is_head_request=head.method == "HEAD", minor_version=head.minor_version, keep_alive=not head.closes
        )
        self._expects_continue = head.expects_continue
        self._start: Message | None = None  # the start of the response, which is sent with its body
        self._waiter: asyncio.Future[None] | None = None
        self._body_was_taken = False  # whether the application has the whole body
        self.has_begun = False
        """Whether a part of the response has been sent."""
        self.is_over = False
        """Whether the response is complete, or is no longer needed."""

    @property
    def is_receiving(self) -> bool:
        """Whether the application waits for the body."""
        return self._waiter is not None

    async def run(self, app: ASGIApp) -> None:
        """Call the application; if it sends no response, respond with 500."""
        try:
            await app(self._scope, self.receive, self.send)
        except Exception as error:
            log.error("failed to handle a request", exc_info=error)
        if not self.is_over:
            await self._send_internal_error()

    async def receive(self) -> Message:
        """Return the next part of the body, or `http.disconnect` once the exchange is over."""
        if self._expects_continue and not self.is_over:
            self._expects_continue = False
            if not self.body.has_begun and not self.body.is_complete:
                self._wire.write(_CONTINUE)
        while not self.is_over and (self._body_was_taken or not self.body.is_ready):
            self._waiter = asyncio.get_running_loop().create_future()
            self._wire.continue_reading()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self.is_over:
            return {"type": "http.disconnect"}
        self._body_was_taken = self.body.is_complete
        return {"type": "http.request", "body": self.body.take(), "more_body": not self._body_was_taken}

    async def send(self, message: Message) -> None:
        """Send a part of the response; the head is sent with the first part of the body, in one system call."""
        if self.is_over:
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start is not None:
            self.writer.keep_alive = self.writer.keep_alive and self._has_little_body_left()
            headers = [*self._wire.default_headers, *self._start["headers"]]
            self._wire.write(self.writer.begin(self._start["status"], headers, body, has_more=more))
            self._start, self.has_begun = None, True
        elif parts := self.writer.next_part(body, has_more=more):
            self._wire.write(*parts)
        if more:
            await self._wire.drain()
        else:
            self.end()
            self._wire.on_response_complete()

    def wake(self) -> None:
        """Wake the application if it waits for the body."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        """End the exchange: the response is complete or no longer needed. The rest of the body is discarded."""
        self.is_over = True
        self.body.discard()
        self.wake()

    def _has_little_body_left(self) -> bool:
        """Return whether the rest of the body will arrive, and is small enough to be read and discarded."""
        missing = self.body.n_missing
        return self.body.is_complete or (not self._expects_continue and missing is not None and missing <= PART_BYTES)

    async def _send_internal_error(self) -> None:
        if self.has_begun:
            self._wire.abort()
            return
        self._start = None
        detail = "The gateway failed to handle the request; its log has the traceback."
        response = problems.ProblemResponse(
            problems.STATUS_BY_CODE[problems.INTERNAL_ERROR], problems.INTERNAL_ERROR, detail
        )
        await self.send({"type": "http.response.start", "status": 500, "headers": response.raw_headers})
        await self.send({"type": "http.response.body", "body": response.body})


def make_asgi_scope(head: Head, address: dict[str, Any]) -> dict[str, Any]:
    """Return the ASGI scope of a request.

    Args:
        head: the head of the request.
        address: the `server`, `client` and `scheme` of the scope.
    """
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"1.{head.minor_version}",
        "method": head.method,
        "root_path": "",
        "path": head.path,
        "raw_path": head.raw_path,
        "query_string": head.query,
        "headers": head.headers,
        **address,
    }
