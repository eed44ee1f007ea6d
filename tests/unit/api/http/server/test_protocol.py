"""The protocol of a connection: over real sockets, in front of a small application."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.http import problems
from api.http.server import protocol
from api.http.server.connections import Connections
from api.http.server.protocol import HttpProtocol
from api.settings import ConnectionSettings
from api.telemetry.metrics import HTTP_REFUSALS, GatewayMetrics
from shared.errors import BodyTooLarge, TooManyBodies
from tests.patience import patience

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
LARGE = 16 << 20
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Application:
    """Answers with the body of the request; what it was called with can be looked up."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.parts = 0
        self.is_released = asyncio.Event()
        self.is_released.set()
        self.takes = asyncio.Event()
        """Whether it takes the bodies."""
        self.takes.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", scope["path"] != "/unread"
        while more:
            await self.takes.wait()
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.parts += 1
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        await self.is_released.wait()
        if scope["path"] == "/fails":
            raise RuntimeError("a secret")
        size = LARGE if scope["path"] == "/large" else 0
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size) or body})


class Peer:
    """A client that sends exact bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def statuses(self, n_responses: int | None = None) -> list[int]:
        """Read responses: that many, or all until the connection ends."""
        connection = h11.Connection(h11.CLIENT)
        found: list[int] = []
        async with asyncio.timeout(patience()):
            while len(found) != n_responses:
                if connection.our_state is h11.IDLE:
                    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
                    connection.send(h11.EndOfMessage())
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    data = await self.reader.read(65536)
                    if not data and connection.their_state is h11.SEND_RESPONSE:
                        break
                    connection.receive_data(data)
                elif isinstance(event, h11.Response):
                    found.append(event.status_code)
                elif isinstance(event, h11.EndOfMessage):
                    if connection.their_state is h11.MUST_CLOSE:
                        break
                    connection.start_next_cycle()
        return found

    async def is_closed(self) -> bool:
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(patience()):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
        return True


class Server:
    """A listening socket with the protocol behind it."""

    def __init__(self, application: Application, port: int, metrics: CollectorRegistry) -> None:
        self.application = application
        self.state = ServerState()
        self._port = port
        self._metrics = metrics

    async def connect(self) -> Peer:
        return Peer(*await asyncio.open_connection("127.0.0.1", self._port, limit=2**16))

    def refusals(self, reason: str) -> float:
        return self._metrics.get_sample_value("sepal_http_refusals_total", {"reason": reason}) or 0


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Server]:
    registry, application = CollectorRegistry(), Application()
    connections = Connections(ConnectionSettings(**limits), GatewayMetrics(registry))
    config = Config(application, log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: HttpProtocol(config, state, {"connections": connections}), "127.0.0.1", 0
    )
    sweeper = asyncio.create_task(connections.sweep_forever())
    server = Server(application, listener.sockets[0].getsockname()[1], registry)
    server.state = state
    try:
        yield server
    finally:
        sweeper.cancel()
        listener.close()
        for connection in list(state.connections):
            connection.transport.abort()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(patience()):
        while not condition():  # noqa: ASYNC110 - it waits for the other side of a socket
            await asyncio.sleep(0.01)


def test_every_reason_to_refuse_or_end_a_connection_is_counted() -> None:
    codes = {
        problems.MALFORMED_REQUEST,
        problems.REQUEST_TIMEOUT,
        problems.REQUEST_LINE_TOO_LONG,
        problems.EXPECTATION_FAILED,
        problems.HEADERS_TOO_LARGE,
        problems.NOT_IMPLEMENTED,
        problems.TOO_MANY_CONNECTIONS,
        problems.HTTP_VERSION_NOT_SUPPORTED,
        BodyTooLarge.code,
        TooManyBodies.code,
    }

    assert codes | {protocol.SILENT_REASON, protocol.IDLE_REASON, protocol.UNREAD_REASON} == set(HTTP_REFUSALS)


async def test_requests_of_one_packet_are_answered_in_order_and_then_the_garbage() -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(POST * 100 + b"garbage\r\n\r\n")

        assert await peer.statuses() == [200] * 100 + [400]
        assert server.application.bodies == [b"abc"] * 100
        peer.writer.close()


async def test_pipelined_requests_of_many_connections_have_turns() -> None:
    async with serving() as server:
        bodies = server.application.bodies
        server.application.is_released.clear()
        peers = [await server.connect() for _ in range(40)]
        for peer in peers:
            await peer.send(POST * 10)
        await eventually(lambda: len(bodies) == 40)
        server.application.is_released.set()  # all are answered in the same iteration of the event loop
        begun: list[int] = []
        async with asyncio.timeout(patience()):
            while len(bodies) < 400:
                before = len(bodies)
                await asyncio.sleep(0)
                begun.append(len(bodies) - before)
        for peer in peers:
            assert await peer.statuses(10) == [200] * 10
            peer.writer.close()

        assert max(begun) <= 4


async def test_request_in_single_bytes_is_answered() -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(*[bytes([byte]) for byte in POST + CHUNKED + b"3;x\r\nabc\r\n0\r\nX: y\r\n\r\n"])

        assert await peer.statuses(2) == [200, 200]
        assert server.application.bodies == [b"abc"] * 2
        peer.writer.close()


@pytest.mark.parametrize("n_requests", [1, 3])
async def test_client_that_half_closes_gets_its_answers(n_requests: int) -> None:
    async with serving() as server:
        server.application.is_released.clear()
        peer = await server.connect()
        await peer.send(POST * n_requests)
        peer.writer.write_eof()
        await eventually(lambda: bool(server.application.bodies))
        server.application.is_released.set()

        assert await peer.statuses() == [200] * n_requests
        assert await peer.is_closed()
        peer.writer.close()


@pytest.mark.parametrize("begun", [POST[:20], POST[:-1], CHUNKED + b"3\r\na"])
async def test_request_that_ends_early_is_refused(begun: bytes) -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(begun)
        peer.writer.write_eof()

        assert await peer.statuses() == [400]
        assert server.application.bodies == []
        peer.writer.close()


async def test_trailers_do_not_become_headers() -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(CHUNKED + b"0\r\nAuthorization: x\r\n\r\n" + POST)

        assert await peer.statuses(2) == [200, 200]
        peer.writer.close()


async def test_large_body_reaches_the_application_in_few_parts() -> None:
    size = 1 << 20
    async with serving() as server:
        peer = await server.connect()
        await peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        await peer.send(*[b"x" * 1024] * (size // 1024))

        assert await peer.statuses(1) == [200]
        assert [len(body) for body in server.application.bodies] == [size]
        assert server.application.parts <= 17
        peer.writer.close()


@pytest.mark.parametrize("framing", [b"Content-Length: 11", b"Transfer-Encoding: chunked"])
async def test_too_large_body_is_refused_and_the_response_can_be_read(framing: bytes) -> None:
    async with serving(max_body_bytes=10) as server:
        peer = await server.connect()
        await peer.send(b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\nb\r\n%b" % (framing, b"x" * 100_000))

        assert await peer.statuses() == [413]
        assert server.application.bodies == []
        assert server.refusals("body-too-large") == 1
        peer.writer.close()


async def test_all_bodies_together_are_bounded() -> None:
    begun = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000)
    async with serving(max_bodies_bytes=150_000) as server:
        first = await server.connect()
        await first.send(begun)
        await eventually(lambda: server.application.parts > 0)
        second = await server.connect()
        await second.send(begun)

        assert await second.statuses() == [503]
        assert server.refusals("too-many-bodies") == 1
        first.writer.close()
        second.writer.close()
        await eventually(lambda: not server.state.connections)
        third = await server.connect()
        await third.send(begun.replace(b"200000", b"100000"))
        assert await third.statuses(1) == [200]
        third.writer.close()


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_upload_may_be_larger_than_other_bodies_and_than_all_of_them_together(is_chunked: bool) -> None:
    part, n_parts = bytes(100_000), 30
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {n_parts * len(part)}"
    sent = b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part
    async with serving(max_body_bytes=1000, max_bodies_bytes=1_000_000) as server:
        peer = await server.connect()
        await peer.send(f"POST /predictions HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())
        for _ in range(n_parts):
            await peer.send(sent)
        await peer.send(b"0\r\n\r\n" if is_chunked else b"")
        assert await peer.statuses(1) == [200]
        assert server.application.bodies == [part * n_parts]
        peer.writer.close()


@pytest.mark.parametrize(
    ("method", "path", "framing"),
    [
        ("POST", "/predictions", "Content-Length: 100001"),
        ("POST", "/predictions", "Transfer-Encoding: chunked\r\n\r\n186a1\r\n"),
        ("POST", "/predict", "Content-Length: 1001"),
        ("PUT", "/predictions", "Content-Length: 1001"),
        ("POST", "/predictions/x", "Content-Length: 1001"),
    ],
)
async def test_upload_has_a_limit_and_nothing_else_has_its_limit(method: str, path: str, framing: str) -> None:
    async with serving(max_body_bytes=1000, max_upload_bytes=100_000) as server:
        peer = await server.connect()
        await peer.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())
        assert await peer.statuses() == [413]
        peer.writer.close()


async def test_upload_that_nobody_takes_is_not_read() -> None:
    async with serving() as server:
        server.application.takes.clear()
        peer = await server.connect()
        await peer.send(b"POST /predictions HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        peer.writer.write(bytes(50_000_000))
        connection: Any = next(iter(server.state.connections))
        await eventually(lambda: connection._flow.read_paused)
        assert connection._exchange.body.n_waiting_bytes < 1_000_000
        peer.writer.transport.abort()
        server.application.takes.set()


async def test_small_rest_of_an_unread_body_is_discarded() -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        assert await peer.statuses(1) == [200]

        await peer.send(b"defghi" + POST)

        assert await peer.statuses(1) == [200]
        peer.writer.close()


async def test_connection_closes_before_a_large_rest_of_an_unread_body() -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")

        assert await peer.statuses() == [200]
        assert await peer.is_closed()
        peer.writer.close()


async def test_body_is_asked_for_when_the_application_wants_it() -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        async with asyncio.timeout(patience()):
            assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await peer.send(b"abc")
        assert await peer.statuses(1) == [200]

        await peer.send(POST.replace(b"Host", b"Expect: 100-continue\r\nHost"))
        assert await peer.statuses(1) == [200]  # without `100 Continue`: the body is here already
        peer.writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"HEAD / HTTP/1.1\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
)
async def test_refusal_of_a_head_request_has_no_content(request_: bytes) -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(request_)
        async with asyncio.timeout(patience()):
            response = await peer.reader.read(-1)

        assert response.startswith(b"HTTP/1.1 400 ")
        assert response.endswith(b"\r\n\r\n")
        peer.writer.close()


async def test_body_is_not_asked_for_when_a_part_is_there() -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na")
        await eventually(lambda: bool(server.state.tasks))
        await peer.send(b"bc")
        async with asyncio.timeout(patience()):
            assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        peer.writer.close()


async def test_unexpected_error_tells_nothing() -> None:
    async with serving() as server:
        peer = await server.connect()
        await peer.send(b"GET /fails HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(patience()):
            response = await peer.reader.read(-1)

        assert response.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in response
        assert b"RuntimeError" not in response
        peer.writer.close()


@pytest.mark.parametrize(
    ("begun", "statuses", "reason"),
    [
        (b"", [], "silent"),
        (POST[:20], [408], "request-timeout"),
        (POST[:-1], [408], "request-timeout"),
        (POST, [200], "idle"),
    ],
)
async def test_held_connections_are_ended(begun: bytes, statuses: list[int], reason: str) -> None:
    head_seconds = 0.2 if reason != "idle" else patience()
    async with serving(head_seconds=head_seconds, stall_seconds=0.2, idle_seconds=0.2) as server:
        peer = await server.connect()
        await peer.send(begun)

        assert await peer.statuses() == statuses
        assert await peer.is_closed()
        await eventually(lambda: not server.state.connections)
        assert server.refusals(reason) == 1
        peer.writer.close()


async def test_body_that_arrives_a_byte_at_a_time_is_refused_at_last() -> None:
    async with serving(stall_seconds=0.3) as server:
        peer = await server.connect()
        await peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        reading = asyncio.create_task(peer.statuses())
        while not reading.done():
            await peer.send(b"x")
            await asyncio.sleep(0.01)

        assert reading.result() == [408]
        peer.writer.close()


async def test_connection_whose_response_is_not_read_is_reset() -> None:
    async with serving(stall_seconds=0.2) as server:
        peer = await server.connect()
        await peer.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 10)

        await eventually(lambda: server.refusals("unread") == 1)
        await eventually(lambda: not server.state.connections)
        assert len(server.application.bodies) < 10
        with pytest.raises(ConnectionResetError):
            await peer.reader.read(-1)
        peer.writer.close()


@pytest.mark.parametrize("options", [b"", b"Connection: close\r\n"])
async def test_response_that_is_read_slowly_is_read_to_its_end(options: bytes) -> None:
    async with serving(stall_seconds=5, idle_seconds=0.1) as server:
        peer = await server.connect()
        await peer.send(b"GET /large HTTP/1.1\r\nHost: a\r\n%b\r\n" % options)
        n_bytes, n_reads = 0, 0
        while n_bytes < LARGE:
            await asyncio.sleep(0.05)  # longer than the idle time in all
            async with asyncio.timeout(patience()):
                part = await peer.reader.read(1 << 18)
            assert part
            n_bytes, n_reads = n_bytes + len(part), n_reads + 1

        assert n_reads * 0.05 > 1
        peer.writer.close()


async def test_last_request_of_a_connection_says_so() -> None:
    async with serving(max_requests_per_connection=2) as server:
        peer = await server.connect()
        await peer.send(POST * 3)

        assert await peer.statuses() == [200, 200]
        assert await peer.is_closed()
        peer.writer.close()


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_address"])
async def test_connection_too_many_is_refused(limit: str) -> None:
    async with serving(**{limit: 1}) as server:
        first = await server.connect()
        await first.send(POST)
        assert await first.statuses(1) == [200]
        second = await server.connect()
        assert await second.statuses() == [503]
        second.writer.close()
        first.writer.close()
        await eventually(lambda: not server.state.connections)

        third = await server.connect()
        await third.send(POST)
        assert await third.statuses(1) == [200]
        third.writer.close()


async def test_trusted_proxy_may_have_all_connections() -> None:
    async with serving(max_connections_per_address=1, trusted_proxies="127.0.0.0/8") as server:
        peers = [await server.connect() for _ in range(3)]
        for peer in peers:
            await peer.send(POST)
            assert await peer.statuses(1) == [200]
            peer.writer.close()


async def test_idle_connection_may_send_one_request_at_shutdown() -> None:
    async with serving() as server:
        idle, busy = await server.connect(), await server.connect()
        await idle.send(POST)
        assert await idle.statuses(1) == [200]
        server.application.is_released.clear()
        await busy.send(POST)
        await eventually(lambda: len(server.application.bodies) == 2)
        for connection in list(server.state.connections):
            connection.shutdown()
        await idle.send(POST)
        server.application.is_released.set()

        assert await idle.statuses() == [200]
        assert await busy.statuses() == [200]
        assert await idle.is_closed()
        idle.writer.close()
        busy.writer.close()
