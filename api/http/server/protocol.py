"""The protocol of one connection: handles its requests one after the other, within the limits of the gateway.

uvicorn accepts connections and calls this class; httptools parses heads. The rest of RFC 9112 is in this package,
because uvicorn's own protocol has no limits (docs/decisions/0027-the-protocol-of-a-connection.md):

    data ──▶ head ──▶ exchange, which runs the application ──▶ body, as it arrives
                                     │
             next head ◀── response ─┘
"""

import asyncio
import contextvars
import socket
import struct
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from api.http.problems import REQUEST_TIMEOUT
from api.http.server import linger
from api.http.server.connections import Connections
from api.http.server.exchange import Exchange, make_asgi_scope
from api.http.server.head import Head
from api.http.server.inbox import Inbox
from api.http.server.incoming_body import PART_BYTES, IncomingBody
from api.http.server.pace import Pace
from api.http.server.refusals import Refused, malformed_request
from api.http.server.response import Header, ResponseWriter

SILENT_REASON: Final = "silent"
IDLE_REASON: Final = "idle"
UNREAD_REASON: Final = "unread"
_LAST_REQUEST_SECONDS: Final = 1.0
_SEND_BUFFER_BYTES: Final = 256 * 1024  # in the kernel, which doubles it; its default grows to 4 MB for each client
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: when the connection is closed, drop unsent bytes
_READ_AHEAD_BYTES: Final = 4 * PART_BYTES  # of a body that the application has not requested


class HttpProtocol(asyncio.Protocol):
    """One connection of a client."""

    transport: asyncio.Transport
    _flow: FlowControl

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app: Any = config.loaded_app
        self._server = server_state
        self._connections: Connections = app_state["connections"]
        self._limits = self._connections.limits
        self._loop = _loop or asyncio.get_running_loop()
        self._address: dict[str, Any] = {}  # `server`, `client` and `scheme` of each request
        self._inbox = Inbox(self._limits)
        self._pace = Pace(self._limits)
        self._exchange: Exchange | None = None
        self._n_requests = 0
        self._n_written = 0
        self._has_ended = False  # whether the client has closed its sending direction
        self._linger: linger.Linger | None = None  # after the last response
        self._is_shutting_down = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection; refuse it if there are too many."""
        self.transport = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._flow = FlowControl(self.transport)
        client = get_remote_addr(self.transport)
        self._address = {"server": get_local_addr(self.transport), "client": client, "scheme": "http"}
        self._pace.set_deadline(self._loop.time(), self._limits.head_seconds)
        self._server.connections.add(self)  # type: ignore[arg-type]
        try:
            self._connections.add(self, client[0] if client else "")
        except Refused as refused:
            if self._connections.can_respond_to_refused:
                self._refuse(refused)
            else:
                self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Remove the connection, and end its exchange."""
        self._server.connections.discard(self)
        self._connections.remove(self)
        self._flow.resume_writing()
        if self._exchange is not None:
            self._exchange.end()

    def data_received(self, data: bytes) -> None:
        """Process received bytes."""
        if self._linger is not None:
            self._linger.discard(len(data))
            return
        self._inbox.add(data)
        self._process_received_bytes()

    def eof_received(self) -> bool:
        """Respond to the requests that are complete: the client may still read (RFC 9112, section 9.6).

        Returns:
            Whether the connection stays open.
        """
        self._has_ended = True
        if self._linger is not None or (self._exchange is None and not self._inbox):
            return False
        if self._exchange is None or not self._exchange.body.is_complete:
            self._refuse(malformed_request("The request ended before it was complete."))
        return True

    def pause_writing(self) -> None:
        """Pause the response, because the client does not read."""
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        """Resume the response, because the client reads again."""
        self._flow.resume_writing()
        if self._exchange is None:
            self._process_received_bytes()

    def shutdown(self) -> None:
        """Close the connection once it is idle; the server calls this after it has stopped listening.

        An idle connection stays open for a moment, because a request may be on its way already.
        """
        self._is_shutting_down = True
        if self._linger is not None:
            self.transport.close()
        elif self._exchange is not None:
            self._exchange.writer.keep_alive = False
        else:
            self._loop.call_later(_LAST_REQUEST_SECONDS, self._close_if_idle)

    def end_if_overdue(self, now: float) -> None:
        """End the connection if its deadline has passed, or if its response is not read."""
        n_unsent = self.transport.get_write_buffer_size()
        if self._pace.is_reading_too_slowly(now, self._n_written, n_unsent):
            self._connections.count_refusal(UNREAD_REASON)
            self.abort()
        elif n_unsent:  # the client need not send anything before it has read the response
            self._pace.extend_deadline(now, linger.LINGER_SECONDS if self._linger else self._limits.stall_seconds)
        elif self._pace.is_overdue(now):
            self._end_overdue()

    def _end_overdue(self) -> None:
        """End the connection because its deadline has passed."""
        if self._linger is not None or self.transport.is_closing():
            self.transport.abort()
        elif self._exchange is not None:
            self._refuse(Refused(REQUEST_TIMEOUT, "The body arrives too slowly."))
        elif self._inbox:
            seconds = self._limits.head_seconds
            self._refuse(Refused(REQUEST_TIMEOUT, f"The headers did not arrive within {seconds:g} seconds."))
        else:
            self._connections.count_refusal(IDLE_REASON if self._n_requests else SILENT_REASON)
            self.transport.close()

    @property
    def default_headers(self) -> list[Header]:
        """Headers of every response."""
        return self._server.default_headers

    def write(self, *parts: bytes) -> None:
        """Send data."""
        self._n_written += sum(map(len, parts))
        if len(parts) == 1:
            self.transport.write(parts[0])
        else:
            self.transport.writelines(parts)

    async def drain(self) -> None:
        """Wait until the client has read enough of what was sent."""
        if self._flow.write_paused:
            await self._flow.drain()

    def continue_reading(self) -> None:
        """Continue reading the body: the application waits for it."""
        if self._flow.read_paused and not self._inbox:
            self._pace.set_deadline(self._loop.time(), self._limits.stall_seconds)
            self._flow.resume_reading()

    def abort(self) -> None:
        """Reset the connection and drop unsent bytes: the response cannot be completed."""
        if not self.transport.is_closing():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def on_response_complete(self) -> None:
        """Continue with the next request, or close the connection."""
        self._server.total_requests += 1
        exchange = self._exchange
        if exchange is None or self.transport.is_closing():
            return
        if not exchange.writer.keep_alive or (self._has_ended and not self._inbox):
            self._close()
        elif exchange.body.is_complete:
            self._finish_exchange()
            if self._inbox:
                self._connections.schedule_turn(
                    self._process_received_bytes
                )  # later: this runs inside the application's task
        else:
            self._flow.resume_reading()

    def _process_received_bytes(self) -> None:
        """Process as many received bytes as possible."""
        if self._linger is not None or self.transport.is_closing():
            return
        try:
            if self._exchange is None and not self._begin_request():
                return
            while self._exchange is not None and not self._exchange.body.is_complete:
                if not self._read_body(self._exchange):
                    return
        except Refused as refused:
            self._refuse(refused)
            return
        if self._inbox:  # the next request waits for the response to this one
            self._flow.pause_reading()
        else:
            self._inbox.clear()
            self._flow.resume_reading()

    def _begin_request(self) -> bool:
        """Start the next request, if its head is complete and the client reads its responses."""
        if self._flow.write_paused:
            self._flow.pause_reading()
            return False
        is_new = not self._inbox.has_partial_head
        head = self._inbox.take_head()
        if head is not None:
            self._start_exchange(head)
            return True
        self._flow.resume_reading()
        if self._inbox.has_partial_head:
            if self._has_ended:
                raise malformed_request("The request ended before it was complete.")
            if is_new:
                self._pace.set_deadline(self._loop.time(), self._limits.head_seconds)
        return False

    def _start_exchange(self, head: Head) -> None:
        self._n_requests += 1
        body = IncomingBody(head.body_bytes, self._connections, is_upload=head.is_upload)
        self._exchange = exchange = Exchange(self, make_asgi_scope(head, self._address), head, body)
        if self._is_shutting_down or self._n_requests >= self._limits.max_requests_per_connection:
            exchange.writer.keep_alive = False
        if body.is_complete:
            self._pace.clear_deadline()
        else:
            self._pace.set_deadline(self._loop.time(), self._limits.stall_seconds)
        # A new context: otherwise log lines would have the correlation id of the previous request.
        task = self._loop.create_task(exchange.run(self._app), context=contextvars.Context())
        task.add_done_callback(self._server.tasks.discard)
        self._server.tasks.add(task)

    def _read_body(self, exchange: Exchange) -> bool:
        """Pass received bytes to the body; return whether it is complete."""
        body = exchange.body
        n_bytes = self._inbox.take_body(body)
        if body.is_complete:
            self._pace.clear_deadline()
            if exchange.is_over:  # the response was sent before the body had arrived
                self._finish_exchange()
                self._connections.schedule_turn(self._process_received_bytes)
            else:
                exchange.wake()
            return True
        self._pace.credit_bytes(self._loop.time(), n_bytes)
        if body.is_ready:
            exchange.wake()
        if self._inbox:  # many small chunks: other connections have their turn
            self._flow.pause_reading()
            self._connections.schedule_turn(self._resume_reading_body)
        elif body.n_waiting_bytes > _READ_AHEAD_BYTES and not exchange.is_receiving:
            self._pace.clear_deadline()
            self._flow.pause_reading()
        return False

    def _resume_reading_body(self) -> None:
        self._flow.resume_reading()
        self._process_received_bytes()

    def _finish_exchange(self) -> None:
        self._exchange = None
        self._pace.set_deadline(self._loop.time(), self._limits.idle_seconds)

    def _refuse(self, refusal: Refused) -> None:
        """Send an error response instead of the application's, and close the connection."""
        self._connections.count_refusal(refusal.code)
        exchange = self._exchange
        if exchange is not None and exchange.has_begun and not exchange.is_over:
            self.transport.abort()
            return
        if exchange is None or not exchange.has_begun:
            response = refusal.response()
            to_head = self._inbox.is_head_request if exchange is None else exchange.writer.to_head
            writer = ResponseWriter(is_head_request=to_head, minor_version=1, keep_alive=False)
            headers = [*self.default_headers, *response.raw_headers]
            self.write(writer.begin(response.status_code, headers, bytes(response.body), has_more=False))
        if exchange is not None:
            exchange.end()
        self._close()

    def _close(self) -> None:
        """Close in steps, so that a client which still sends can read the response."""
        still_sends = self._exchange is not None and not self._exchange.body.is_complete
        self._exchange = None
        self._inbox.clear()
        if self._has_ended or (self._is_shutting_down and not still_sends):
            self.transport.close()
            return
        self._pace.set_deadline(self._loop.time(), linger.LINGER_SECONDS)
        self._linger = linger.Linger(self.transport, self._flow, self._limits.max_body_bytes)

    def _close_if_idle(self) -> None:
        if self._exchange is None:
            self.transport.close()
