"""deploy/nginx/nginx.conf in front of a gateway: a real nginx, with TLS."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from api.settings import GatewaySettings
from tests.gates import Gates
from tests.patience import patience
from tests.stack import Gateway, Stack, free_port, running_stack, wait_for
from tests.tls_proxy import ADDRESS, TlsProxy, running_proxy
from tests.tools import tool

GATE = 100
LONG = 14_000  # too long for a header; one record of TLS, because a proxy may close before it has read another
HEAD = b"Host: localhost\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    """A gateway that trusts the proxy."""
    with running_stack(tmp_path_factory.mktemp("stack"), model_dir, trusted_proxies=ADDRESS) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(trusting: tuple[Stack, Gateway]) -> Gateway:
    return trusting[1]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway) -> Iterator[TlsProxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), gateway.port) as running:
        yield running


def predict(client: httpx.Client, rows: object = ((1, 0),), **headers: str) -> httpx.Response:
    return client.post("/predict", json={"data": rows}, headers=headers)


def test_prediction_over_tls_is_that_of_the_gateway(proxy: TlsProxy, gateway: Gateway) -> None:
    with proxy.client() as client:
        answer = predict(client)
        assert answer.status_code == 200
        assert answer.json()["prediction"] == gateway.predict([[1, 0]]).json()["prediction"]
        assert client.get(f"/results/{answer.json()['id']}").json() == answer.json()


def test_answer_requires_tls_later_and_tells_no_version(proxy: TlsProxy) -> None:
    with proxy.client() as client:
        for answer in (client.get("/livez"), client.get("/nowhere"), client.request("TRACE", "/")):
            assert answer.headers.get_list("Strict-Transport-Security") == ["max-age=31536000"]
            assert answer.headers["Server"] == "nginx"


def test_request_without_tls_is_refused(proxy: TlsProxy) -> None:
    answer = httpx.get(f"http://{ADDRESS}:{proxy.port}/livez", timeout=patience())
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")


@pytest.mark.parametrize(("version", "is_accepted"), [("tls1_1", False), ("tls1_2", True), ("tls1_3", True)])
def test_tls_is_1_2_or_later(proxy: TlsProxy, version: str, is_accepted: bool) -> None:
    command = [tool("openssl"), "s_client", f"-{version}", "-cipher", "ALL:@SECLEVEL=0"]
    command += ["-connect", f"{ADDRESS}:{proxy.port}"]
    done = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert (done.returncode == 0) is is_accepted
    assert (b"alert protocol version" in done.stderr) is not is_accepted


def test_clients_behind_the_proxy_are_told_apart_by_their_addresses(proxy: TlsProxy) -> None:
    with proxy.client("127.0.0.2") as first, proxy.client("127.0.0.3") as second:
        ids = [predict(client, **{"Idempotency-Key": "apart"}).json()["id"] for client in (first, second, first)]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_client_cannot_take_the_address_of_another(proxy: TlsProxy, name: str) -> None:
    forged = {"Forwarded": "for=127.0.0.3"}.get(name, "127.0.0.3")
    key = {"Idempotency-Key": f"forged-{name}"}
    with proxy.client("127.0.0.2") as client, proxy.client("127.0.0.3") as victim:
        victims = predict(victim, **key).json()["id"]
        own = predict(client, **key).json()["id"]
        assert predict(client, **key, **{name: forged}).json()["id"] == own != victims


def test_forwarded_address_is_ignored_unless_the_proxy_sends_it(gateway: Gateway) -> None:
    url = f"http://{ADDRESS}:{gateway.port}"
    key = {"Idempotency-Key": "direct"}

    def id_of(address: str, **headers: str) -> str:
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(base_url=url, transport=transport, timeout=patience()) as client:
            return str(predict(client, **key, **headers).json()["id"])

    victims = id_of("127.0.0.3")
    assert id_of("127.0.0.2", **{"X-Forwarded-For": "127.0.0.3"}) == id_of("127.0.0.2") != victims
    assert id_of(ADDRESS, **{"X-Forwarded-For": "127.0.0.2, 127.0.0.3"}) == victims


@pytest.mark.parametrize(
    ("request_line", "headers", "status", "code"),
    [
        (b"GET /nowhere HTTP/1.1", b"", 404, "not-found"),
        (b"GET /metrics HTTP/1.1", b"", 404, "not-found"),
        (b"GET /x/..//%6detrics?x HTTP/1.1", b"", 404, "not-found"),
        (b"POST /predict HTTP/1.1", b"Content-Length: 0\r\n", 415, "unsupported-content-type"),
        (b"GARBAGE", b"", 400, "malformed-request"),
        (b"GET / HTTP/1.1", b"no colon\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1", b"Host: twice\r\n", 400, "malformed-request"),
        (b"POST / HTTP/1.1", b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, "malformed-request"),
        (b"TRACE / HTTP/1.1", b"", 405, "method-not-allowed"),
        (b"POST /predict HTTP/1.1", b"Content-Length: 100000000\r\n", 413, "body-too-large"),
        (b"GET /" + b"x" * LONG + b" HTTP/1.1", b"", 414, "request-line-too-long"),
        (b"GET / HTTP/1.1", b"X: " + b"x" * LONG + b"\r\n", 431, "headers-too-large"),
        (b"POST / HTTP/1.1", b"Transfer-Encoding: gzip, chunked\r\n", 501, "not-implemented"),
        (b"GET / HTTP/3.0", b"", 505, "http-version-not-supported"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_refusal_by_gateway_or_proxy_is_a_problem(
    proxy: TlsProxy, request_line: bytes, headers: bytes, status: int, code: str
) -> None:
    response, body = proxy.exchange(request_line + b"\r\n" + HEAD + headers + b"\r\n")
    problem = json.loads(body)
    assert response.getheader("Content-Type") == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "code", "detail"}
    assert (response.status, problem["status"], problem["code"]) == (status, status, code)


def test_validation_error_comes_through_whole(proxy: TlsProxy) -> None:
    with proxy.client() as client:
        answer = predict(client, [[1]])
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["pointer"] == "/data/0"


@pytest.mark.parametrize("chunked", [False, True])
def test_largest_body_of_the_gateway_fits_through_the_proxy(proxy: TlsProxy, chunked: bool) -> None:
    body = b'{"data": [[1, 0]]}'.ljust(GatewaySettings().max_body_bytes)
    with proxy.client() as client:
        answer = client.post(
            "/predict",
            content=_in_pieces(body) if chunked else body,
            headers={"Content-Type": "application/json"},
        )
    assert answer.status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_client_that_still_sends_a_body_reads_the_refusal_of_the_gateway(proxy: TlsProxy, chunked: bool) -> None:
    body = b" " * (GatewaySettings().max_body_bytes + 1)
    with proxy.client() as client:
        answer = client.post(
            "/predict",
            content=_in_pieces(body) if chunked else body,
            headers={"Content-Type": "application/json"},
        )
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_file_larger_than_other_bodies_fits_through_the_proxy_and_so_do_its_events(proxy: TlsProxy) -> None:
    n_rows, zeros = 1000, b"0" * (GatewaySettings().max_body_bytes // 1000)
    with proxy.client() as client:
        columns = ",".join(column["name"] for column in client.get("/model").json()["input"]["columns"])
        body = f"{columns}\n".encode() + (b"1." + zeros + b",0\n") * n_rows
        accepted = client.post("/predictions", content=_in_pieces(body), headers={"Content-Type": "text/csv"})
        assert accepted.status_code == 202, accepted.text
        location = accepted.headers["Location"]
        with client.stream("GET", f"{location}/events") as events:
            shown = "".join(events.iter_text())
        assert '"succeeded"' in shown
        result = client.get(location, headers={"Accept": "text/csv"}).text
    assert len(result.splitlines()) == n_rows + 1


def _in_pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]


def test_waiting_request_gets_its_result(trusting: tuple[Stack, Gateway], proxy: TlsProxy, gates: Gates) -> None:
    before = trusting[0].count("accepted")
    with ThreadPoolExecutor(1) as threads, proxy.client() as client, gates.closed(GATE):
        waiting = threads.submit(predict, client, [[1, GATE]], Prefer="wait=60")
        wait_for(lambda: trusting[0].count("accepted") > before, "the accepted request")
        gates.open(GATE)
        answer = waiting.result()
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=60"


def test_connections_to_client_and_gateway_are_kept(proxy: TlsProxy, gateway: Gateway) -> None:
    nginx = proxy.part.process

    def to_gateway() -> set[int]:
        connections = (each for process in nginx.children() for each in process.net_connections("tcp"))
        established = (each for each in connections if each.status == psutil.CONN_ESTABLISHED)
        return {each.laddr.port for each in established if each.raddr and each.raddr.port == gateway.port}

    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with proxy.connect() as connection, connection.makefile("rb") as responses:
        kept = []
        for _ in range(3):
            connection.sendall(request)
            assert responses.readline() == b"HTTP/1.1 200 OK\r\n"
            head = b"".join(iter(responses.readline, b"\r\n"))
            length = re.search(rb"Content-Length: (\d+)", head, re.IGNORECASE)
            responses.read(int(length[1]) if length else 0)
            kept.append(to_gateway())
    assert set.intersection(*kept)
    assert kept[1] | kept[2] <= kept[0]  # idle ones may have ended


def test_log_has_the_failures_and_no_ids(proxy: TlsProxy) -> None:
    with proxy.client() as client:
        answer = predict(client, **{"X-Request-ID": "order-66"})
        client.get(f"/results/{answer.json()['id']}?secret=1")
        client.get("/nowhere?secret=2")

    def found() -> list[dict[str, str]]:
        lines = [json.loads(line) for line in proxy.part.log.read_text().splitlines()]
        return lines if any(line["path"] == "/nowhere" and line["gateway_status"] == "404" for line in lines) else []

    lines = wait_for(found, "the last line")
    assert any(line["request"] == "order-66" and line["method"] == "POST" for line in lines)
    assert any(line["path"] == "/results/{id}" for line in lines)
    log = proxy.part.log.read_text()
    assert answer.json()["id"] not in log
    assert "secret" not in log


def test_proxy_is_alive_while_no_gateway_is(tmp_path: Path) -> None:
    with running_proxy(tmp_path, free_port()) as alone, alone.client() as client:
        answer = predict(client, **{"X-Request-ID": "order-66"})
        assert (answer.status_code, answer.json()["code"]) == (502, "gateway-unavailable")
        assert answer.headers["Retry-After"] == "2"
        assert answer.headers["X-Request-ID"] == "order-66"
        assert httpx.get(f"http://{ADDRESS}:{alone.health_port}/livez", timeout=patience()).status_code == 200
        assert httpx.get(f"http://{ADDRESS}:{alone.health_port}/predict", timeout=patience()).status_code == 404


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A gateway that accepts connections and never answers."""
    with socket.create_server((ADDRESS, 0)) as server:
        server.settimeout(patience())
        yield server


def test_gateway_that_does_not_answer_is_a_timeout(silent: socket.socket, tmp_path: Path) -> None:
    soon = {"proxy_read_timeout 75s": "proxy_read_timeout 1s"}
    with running_proxy(tmp_path, silent.getsockname()[1], soon) as proxy, proxy.client() as client:
        answer = client.get("/livez")
    assert (answer.status_code, answer.json()["code"]) == (504, "gateway-timeout")


def test_requests_beyond_the_limit_of_an_address_are_refused(silent: socket.socket, tmp_path: Path) -> None:
    one = {"limit_conn addresses 4096": "limit_conn addresses 1"}
    with running_proxy(tmp_path, silent.getsockname()[1], one) as proxy, proxy.connect() as first:
        first.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        held, _ = silent.accept()
        with held, proxy.client() as client:
            answer = client.get("/livez")
    assert (answer.status_code, answer.json()["code"]) == (503, "too-many-connections")
    assert answer.headers["Retry-After"] == "2"
