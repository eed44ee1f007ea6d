"""The proxy between clients and gateways strikes the requests of its plan at the given byte, and no others."""

import socket
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from itertools import repeat

import pytest

from tests.chaos.clients.proxy import FaultProxy
from tests.chaos.clients.strikes import Cut, Ending, Kill, Moment, Plan, Refuse, RetryAfter, Seen, Side, Strike, Target
from tests.patience import patience
from tests.stack import wait_for

BODY = b"0123456789" * 20
REQUEST = b"POST /predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
OTHER = b"GET /model HTTP/1.1\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright"


class FakeGateway:
    """Records the bytes it receives, and responds to each request of the tests."""

    def __init__(self) -> None:
        self.received = b""
        self.endings: list[str] = []
        """How its connections ended."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            request = b""
            try:
                while data := connection.recv(65_536):
                    self.received += data
                    request += data
                    if request in (REQUEST, OTHER):
                        request = b""
                        connection.sendall(RESPONSE)
                self.endings.append("closed")
            except ConnectionError:
                self.endings.append("reset")


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    gateway = FakeGateway()
    yield gateway
    gateway.stop()


@pytest.fixture
def killed() -> list[int | None]:
    return []


@pytest.fixture
def proxy(gateway: FakeGateway, killed: list[int | None]) -> Iterator[FaultProxy]:
    proxy = FaultProxy(killed.append)
    proxy.add(gateway.port)
    try:
        yield proxy
    finally:
        proxy.stop()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=patience()) as connection:
        yield connection


def arm(proxy: FaultProxy, *strikes: Strike) -> None:
    proxy.arm(Plan(lambda target: target.path == "/predict", iter(strikes)))


def exchange(client: socket.socket, request: bytes = REQUEST) -> bytes:
    """Send a request, and return the bytes received, followed by `reset` if the connection is reset."""
    client.sendall(request)
    received = b""
    try:
        while received != RESPONSE and (data := client.recv(65_536)):
            received += data
    except ConnectionResetError:
        received += b"reset"
    return received


def test_requests_without_a_strike_are_forwarded_on_one_connection(
    proxy: FaultProxy, gateway: FakeGateway, client: socket.socket
) -> None:
    assert [exchange(client) for _ in range(2)] == [RESPONSE, RESPONSE]
    assert gateway.received == REQUEST * 2
    assert proxy.n_links() == 1


@pytest.mark.parametrize(("ending", "seen"), [(Ending.RESET, b"reset"), (Ending.CLOSE, b"")])
@pytest.mark.parametrize("n_bytes", [0, 30, len(REQUEST)])
def test_request_is_cut_after_a_number_of_bytes(
    proxy: FaultProxy, gateway: FakeGateway, client: socket.socket, n_bytes: int, ending: Ending, seen: bytes
) -> None:
    arm(proxy, Strike(Moment(Side.REQUEST, n_bytes), Cut(ending)))
    assert exchange(client) == seen
    wait_for(lambda: gateway.endings, "the end of the gateway's connection")
    assert gateway.received == REQUEST[:n_bytes]


@pytest.mark.parametrize("ending", [Ending.RESET, Ending.CLOSE])
def test_response_is_cut_after_a_number_of_bytes(proxy: FaultProxy, client: socket.socket, ending: Ending) -> None:
    arm(proxy, Strike(Moment(Side.RESPONSE, 20), Cut(ending)))
    assert exchange(client).removesuffix(b"reset") == RESPONSE[:20]


def test_cut_of_the_client_alone_lets_the_gateway_answer(
    proxy: FaultProxy, gateway: FakeGateway, client: socket.socket
) -> None:
    arm(proxy, Strike(Moment(Side.REQUEST, 10**9), Cut(Ending.RESET, keeps_gateway=True)))
    assert exchange(client) == b"reset"
    wait_for(lambda: gateway.endings, "the end of the gateway's connection")
    assert gateway.received == REQUEST


def test_idle_connection_is_cut_when_its_time_has_come(proxy: FaultProxy, client: socket.socket) -> None:
    arm(proxy, Strike(Moment(seconds=3), Cut(Ending.CLOSE)))
    assert exchange(client) == RESPONSE
    assert client.recv(100) == b""


@pytest.mark.parametrize("n_bytes", [0, 30, 10**9])
def test_refused_request_does_not_reach_the_gateway(
    proxy: FaultProxy, gateway: FakeGateway, client: socket.socket, n_bytes: int
) -> None:
    refusal = Refuse(503, form=RetryAfter.SECONDS, seconds=7)
    arm(proxy, Strike(Moment(Side.REQUEST, n_bytes), refusal))
    response = exchange(client)
    assert response.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 7\r\n" in response
    wait_for(lambda: gateway.endings, "the end of the gateway's connection")
    assert gateway.received == b""


def test_refusal_after_acceptance_replaces_the_response(
    proxy: FaultProxy, gateway: FakeGateway, client: socket.socket
) -> None:
    arm(proxy, Strike(Moment(Side.RESPONSE, 0), Refuse(429, after_acceptance=True, is_problem=False)))
    response = exchange(client)
    assert response.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After" not in response
    assert gateway.received == REQUEST


def test_date_of_a_refusal_is_the_earliest_time_of_a_repeat() -> None:
    now = time.time()
    refusal = Refuse(503, form=RetryAfter.DATE, seconds=2)
    header = refusal.response(now).split(b"Retry-After: ")[1].split(b"\r\n")[0]
    assert parsedate_to_datetime(header.decode()).timestamp() == refusal.earliest(now)


def test_kill_names_the_gateway_that_has_the_request(
    proxy: FaultProxy, gateway: FakeGateway, client: socket.socket, killed: list[int | None]
) -> None:
    arm(proxy, Strike(Moment(Side.REQUEST, 40), Kill()), Strike(Moment(Side.REQUEST, 40), Kill(kills_all=True)))
    assert exchange(client) + exchange(client) == RESPONSE * 2
    assert killed == [gateway.port, None]


def test_only_matching_requests_are_struck_until_the_plan_ends(proxy: FaultProxy, client: socket.socket) -> None:
    arm(proxy, Strike(Moment(Side.REQUEST, 0), Cut(Ending.CLOSE)))
    assert exchange(client, OTHER) == RESPONSE
    assert exchange(client) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=patience()) as again:
        assert exchange(again) == RESPONSE
    assert [(seen.target, seen.was_struck) for seen in proxy.disarm()] == [
        (Target("GET", "/model"), False),
        (Target("POST", "/predict"), True),
        (Target("POST", "/predict"), False),
    ]


def test_connection_that_a_gateway_has_ended_is_ended(
    proxy: FaultProxy, client: socket.socket, gateway: FakeGateway
) -> None:
    assert exchange(client) == RESPONSE
    proxy.cut()
    assert exchange(client, b"") in (b"", b"reset")
    wait_for(lambda: gateway.endings, "the end of the gateway's connection")


def test_connections_are_refused_while_there_is_no_gateway(proxy: FaultProxy, gateway: FakeGateway) -> None:
    endless = Plan(lambda _: True, repeat(Strike(Moment(Side.REQUEST, 0), Cut(Ending.CLOSE))))
    proxy.arm(endless)
    proxy.remove(gateway.port)
    wait_for(lambda: _is_refused(proxy.port), "refused connections")
    proxy.add(gateway.port)
    assert not _is_refused(proxy.port)


def _is_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_seen_requests_begin_anew_with_a_plan(proxy: FaultProxy, client: socket.socket) -> None:
    exchange(client, OTHER)
    arm(proxy)
    exchange(client)
    seen: list[Seen] = proxy.disarm()
    assert [each.target.path for each in seen] == ["/predict"]
