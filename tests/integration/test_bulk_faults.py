"""Uploads and downloads that are interrupted, refused or lose their process leave nothing, and never look complete."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from shared.bulk import MARKER_KEY
from shared.objects import ObjectStore
from tests.patience import patience
from tests.stack import Gateway, Stack, running_stack, wait_for
from tests.uploads import (
    CSV,
    SlowBody,
    accepted,
    csv_of,
    download,
    objects_of,
    records_of,
    upload,
    uploading,
)

HEADER = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
ROW = [4.8, 3, 1.4, 0.3]
MANY = 400_000
"""Rows whose results fill every buffer between their process and a client that does not read."""


def rows(n_rows: int) -> str:
    return csv_of(HEADER, [ROW] * n_rows)


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory, iris_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    limits: dict[str, Any] = {"max_uploads": 2, "stall_seconds": patience()}
    with running_stack(tmp_path_factory.mktemp("stack"), iris_dir, **limits) as (stack, gateway):
        accepted(gateway, rows(1))  # starts the table server
        yield stack, gateway


@pytest.fixture
def stack(bulk: tuple[Stack, Gateway]) -> Stack:
    return bulk[0]


@pytest.fixture
def gateway(bulk: tuple[Stack, Gateway]) -> Gateway:
    wait_until_quiet(bulk[1])
    return bulk[1]


def wait_until_quiet(gateway: Gateway) -> None:
    """Wait until no prediction is open, because records change until then, and until no job's process is left."""
    listing = "/predictions?state=queued&state=running"
    wait_for(lambda: not gateway.client.get(listing).json()["predictions"], "final predictions")
    wait_for(lambda: not table_server(gateway).children(), "the end of earlier jobs")


def left_by(stack: Stack) -> tuple[list[str], dict[bytes, Any]]:
    return objects_of(stack), records_of(stack)


def unchanged(stack: Stack, before: tuple[list[str], dict[bytes, Any]]) -> Callable[[], bool]:
    return lambda: left_by(stack) == before


def table_server(gateway: Gateway) -> psutil.Process:
    """Return the table server of a gateway."""
    children = gateway.part.process.children()
    return next(child for child in children if "api.formats" in " ".join(child.cmdline()))


def job_process(gateway: Gateway) -> psutil.Process:
    """Return the process of the only job, once there is one."""
    return wait_for(lambda: next(iter(table_server(gateway).children()), None), "a process of a job")


@contextmanager
def unread_download(gateway: Gateway, location: str) -> Iterator[httpx.Response]:
    """Begin a download on a connection that takes little before it is read; the kernel would take 30 MB."""
    wait_until_quiet(gateway)
    transport = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)])
    headers = {"Accept": CSV, "Accept-Encoding": "identity"}
    with (
        httpx.Client(base_url=gateway.client.base_url, transport=transport, timeout=patience()) as client,
        client.stream("GET", location, headers=headers) as response,
    ):
        yield response


def slow_body(n_parts: int = 5) -> SlowBody:
    return SlowBody(f"{HEADER}\n", *["4.8,3,1.4,0.3\n"] * n_parts)


def head(gateway: Gateway, *lines: str) -> bytes:
    return "\r\n".join(["POST /predictions HTTP/1.1", f"Host: 127.0.0.1:{gateway.port}", *lines, "", ""]).encode()


def connect(gateway: Gateway) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", gateway.port))
    connection.settimeout(patience())
    return connection


@contextmanager
def unfinished_upload(gateway: Gateway) -> Iterator[socket.socket]:
    """Send a part of a body; a process has it."""
    with connect(gateway) as connection:
        connection.sendall(head(gateway, f"Content-Type: {CSV}", "Content-Length: 100000"))
        connection.sendall(rows(1000).encode())
        job_process(gateway)
        yield connection


def refusal(connection: socket.socket) -> tuple[int, str]:
    """Receive a response to its end; return its status and the code of its problem."""
    received = b""
    while part := connection.recv(10_000):
        received += part
    response_head, _, content = received.partition(b"\r\n\r\n")
    return int(response_head.split()[1]), json.loads(content)["code"]


def test_upload_that_breaks_off_leaves_nothing(stack: Stack, gateway: Gateway) -> None:
    before = left_by(stack)
    with unfinished_upload(gateway):
        process = job_process(gateway)
        assert left_by(stack) != before
    wait_for(unchanged(stack, before), "nothing left")
    wait_for(lambda: not process.is_running(), "the end of the process")


def test_upload_whose_process_is_killed_is_refused(stack: Stack, gateway: Gateway) -> None:
    before = left_by(stack)
    with unfinished_upload(gateway) as connection:
        job_process(gateway).kill()
        assert refusal(connection) == (503, "body-not-read")
        assert left_by(stack) == before
    accepted(gateway, rows(1))


def test_upload_survives_the_table_server_and_the_next_one_starts_another(stack: Stack, gateway: Gateway) -> None:
    body = slow_body()
    with uploading(gateway, body) as ended:
        body.is_sent.wait()
        job_process(gateway)
        server = table_server(gateway)
        server.kill()
        wait_for(lambda: not server.is_running(), "the end of the server")
        assert download(gateway, accepted(gateway, rows(3))).text.count("\n") == 4
        assert table_server(gateway).pid != server.pid
    assert ended[0].status_code == 202
    assert download(gateway, ended[0].headers["Location"]).text.count("\n") == 6
    assert objects_of(stack)


def test_uploads_beyond_the_limit_wait_for_their_turn(gateway: Gateway) -> None:
    first, second, third = slow_body(), slow_body(), slow_body()
    with uploading(gateway, first) as one, uploading(gateway, second) as two:
        first.is_sent.wait()
        second.is_sent.wait()
        wait_for(lambda: len(table_server(gateway).children()) == 2, "both processes")
        with uploading(gateway, third) as three:
            third.is_sent.wait()
            third.end()
            assert len(table_server(gateway).children()) == 2
            assert not three
            first.end()
            wait_for(lambda: three, "the third answer")
        second.end()
    assert [each[0].status_code for each in (one, two, three)] == [202, 202, 202]


def test_client_that_expects_a_refusal_does_not_send_the_body(gateway: Gateway) -> None:
    with connect(gateway) as connection:
        lines = ["Content-Type: text/plain", "Content-Length: 1000000000", "Expect: 100-continue"]
        connection.sendall(head(gateway, *lines))
        assert connection.recv(1000).startswith(b"HTTP/1.1 415 ")
    with connect(gateway) as connection:
        body = rows(2).encode()
        lines = [f"Content-Type: {CSV}", f"Content-Length: {len(body)}", "Expect: 100-continue"]
        connection.sendall(head(gateway, *lines))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 202 ")


def test_download_whose_process_is_killed_breaks_the_connection(gateway: Gateway) -> None:
    location = accepted(gateway, rows(MANY))
    whole = download(gateway, location, Accept_Encoding="identity")
    assert whole.text.count("\n") == MANY + 1
    with unread_download(gateway, location) as response:
        assert response.status_code == 200
        parts = response.iter_raw()
        next(parts)
        job_process(gateway).kill()
        with pytest.raises(httpx.TransportError):
            list(parts)


def test_client_that_leaves_ends_the_process_of_its_download(gateway: Gateway) -> None:
    location = accepted(gateway, rows(MANY))
    assert download(gateway, location, query="?limit=1").status_code == 200
    with unread_download(gateway, location) as response:
        parts = response.iter_raw()  # the end of this iterator closes the connection
        next(parts)
        process = job_process(gateway)
    wait_for(lambda: not process.is_running(), "the end of the process")


def test_download_extends_the_retention(stack: Stack, gateway: Gateway) -> None:
    location = accepted(gateway, rows(3))
    assert download(gateway, location).status_code == 200
    record = f"sepal:batch:{location.removeprefix('/results/')[:20]}"
    stack.redis.expire(record, 30)
    assert download(gateway, location).status_code == 200
    assert int(stack.redis.ttl(record)) > 30


def test_result_whose_objects_are_gone_is_gone(stack: Stack, gateway: Gateway) -> None:
    location = accepted(gateway, rows(3))
    assert download(gateway, location).status_code == 200
    store = ObjectStore.open(str(stack.settings["object_store_url"]))
    store.delete_all(f"sepal/{location.removeprefix('/results/')[:20]}/results/")
    refused = download(gateway, location)
    assert (refused.status_code, refused.json()["code"]) == (410, "prediction-gone")


def test_upload_larger_than_the_limit_is_refused(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir, max_upload_bytes=100_000, max_body_bytes=200_000) as (stack, gateway):
        accepted(gateway, rows(1000))
        wait_until_quiet(gateway)
        before = left_by(stack)
        known = upload(gateway, rows(8000))
        assert (known.status_code, known.json()["code"]) == (413, "body-too-large")
        with uploading(gateway, SlowBody(rows(8000), "")) as ended:
            pass
        assert isinstance(ended[0], httpx.TransportError) or ended[0].status_code == 413
        wait_for(unchanged(stack, before), "nothing left")


def test_upload_without_space_is_refused_and_leaves_nothing(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir, max_bulk_bytes=40_000_000) as (stack, gateway):
        location = accepted(gateway, rows(100_000))
        assert download(gateway, location, query="?limit=1").status_code == 200
        before = left_by(stack)
        refused = upload(gateway, rows(600_000))
        assert (refused.status_code, refused.json()["code"]) == (507, "storage-full")
        wait_for(unchanged(stack, before), "nothing left")


def test_stopping_gateway_refuses_the_uploads_that_are_under_way(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir, drain_seconds=0.1) as (stack, gateway):
        accepted(gateway, rows(1))
        wait_until_quiet(gateway)
        before = left_by(stack)
        with unfinished_upload(gateway) as connection:
            os.kill(gateway.part.popen.pid, signal.SIGTERM)
            assert refusal(connection) == (503, "body-not-read")
        gateway.part.wait()
        assert left_by(stack) == before


def test_stopping_gateway_ends_its_event_streams(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir, drain_seconds=0.1) as (stack, gateway):
        stack.part("worker").kill()
        location = accepted(gateway, rows(5))
        with gateway.client.stream("GET", f"{location}/events") as response:
            lines = response.iter_lines()
            assert next(lines).startswith("id: ")
            os.kill(gateway.part.popen.pid, signal.SIGTERM)
            assert "event: end" not in list(lines)
        gateway.part.wait()


def test_event_streams_are_not_in_the_histogram_of_requests(gateway: Gateway) -> None:
    location = accepted(gateway, rows(5))
    assert "event: end" in gateway.client.get(f"{location}/events").text
    assert gateway.client.get(location).status_code in {200, 202}
    wait_for(lambda: 'route="/results/{prediction_id}"' in gateway.client.get("/metrics").text, "durations")
    assert "/events" not in gateway.client.get("/metrics").text


def test_upload_is_refused_without_the_broker(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir, stall_seconds=patience()) as (stack, gateway):
        accepted(gateway, rows(1))
        wait_until_quiet(gateway)
        body = slow_body()
        objects = objects_of(stack)
        with uploading(gateway, body) as ended:
            body.is_sent.wait()
            job_process(gateway)
            stack.part("broker").kill()
        assert (ended[0].status_code, ended[0].json()["code"]) == (503, "broker-unavailable")
        assert len(objects_of(stack)) <= len(objects) + 1  # the result of the first may have come
        again = upload(gateway, rows(1))
        assert (again.status_code, again.json()["code"]) == (503, "broker-unavailable")


def old_object(folder: Path, key: str) -> Path:
    """Make a file of the object store that is two hours old."""
    path = folder / "objects" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"rows")
    two_hours_ago = time.time() - 7200
    os.utime(path, (two_hours_ago, two_hours_ago))
    return path


def test_object_without_a_record_is_swept_by_its_age(tmp_path: Path, iris_dir: Path) -> None:
    lost = old_object(tmp_path, "sepal/AaAaAaAaAaAaAaAaAaAa/rows-0.arrow#1")
    foreign = old_object(tmp_path, "other/rows.arrow")
    with running_stack(tmp_path, iris_dir):
        wait_for(lambda: not lost.exists(), "a swept object")
        assert foreign.exists()
        assert (tmp_path / "objects" / MARKER_KEY).exists()


def test_nothing_is_swept_for_another_redis(tmp_path: Path, iris_dir: Path) -> None:
    lost = old_object(tmp_path, "sepal/AaAaAaAaAaAaAaAaAaAa/rows-0.arrow")
    (tmp_path / "objects" / MARKER_KEY).write_text("of another Redis")
    with running_stack(tmp_path, iris_dir) as (_, gateway):
        wait_for(lambda: "no object is deleted" in gateway.part.log.read_text(), "the warning")
        assert lost.exists()
        assert (tmp_path / "objects" / MARKER_KEY).read_text() == "of another Redis"
