"""`submit` against a server that refuses and cuts connections: one prediction of the whole file, or a clear error."""

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest

from sepal_client import (
    GatewayUnreachable,
    IdempotencyConflict,
    InvalidInput,
    RequestRefused,
    Sepal,
    Unavailable,
)
from tests.clients import Connect
from tests.scripted import Exchange, Script, scripted

ID = "AaIG"
ACCEPTED = {"rows": {"done": 0, "total": 1, "bad": 0}, "id": ID, "status": "queued"}
CSV = b"a,b\n" + b"1,2\n" * 1_000_000
LARGE_BYTES = 64 * 2**20
"""More than the sockets of both sides buffer."""


def accept(exchange: Exchange) -> None:
    exchange.read_body().json(202, ACCEPTED, Retry_After="1")


def cut_in_the_body(exchange: Exchange) -> None:
    exchange.read_some(100_000).cut()


def cut_after_the_body(exchange: Exchange) -> None:
    exchange.read_body().cut()


def refuse_at_once(exchange: Exchange) -> None:
    """Answer while the client is sending, and then read slowly for a while, as a gateway does."""
    body = {"code": "invalid-rows", "detail": "Line 3 is wrong.", "errors": [{"pointer": "/data/1", "detail": "No."}]}
    exchange.json(422, body, Content_Type="application/problem+json")
    exchange.wait_until_gone()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSV)
    return path


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "large.csv"
    with path.open("wb") as opened:
        opened.truncate(LARGE_BYTES)
    return path


def test_file_is_sent_with_its_type_and_size(connect: Connect, file: Path) -> None:
    sent: list[tuple[int, int | None]] = []
    with scripted(accept) as server, connect(server.url) as client:
        prediction = client.submit(file, on_sent=lambda *counts: sent.append(counts))
    assert prediction.id == ID
    (exchange,) = server.exchanges
    assert exchange.line == "POST /predictions HTTP/1.1"
    assert exchange.headers["content-type"] == "text/csv"
    assert exchange.headers["content-length"] == str(len(CSV))
    assert exchange.body == CSV
    assert sent[-1] == (len(CSV), len(CSV))
    assert len(sent) == 4


def test_options_are_the_query(connect: Connect, file: Path) -> None:
    options: dict[str, Any] = {
        "carry": ["id", "größe"],
        "outputs": ["proba"],
        "on_error": "report",
        "delimiter": ";",
        "header": False,
        "null": ["NA", "-"],
    }
    with scripted(accept) as server, connect(server.url) as client:
        client.submit(file, **options)
    query = server.exchanges[0].line.split()[1].partition("?")[2]
    assert sorted(query.split("&")) == [
        "carry=id%2Cgr%C3%B6%C3%9Fe",
        "delimiter=%3B",
        "header=false",
        "null=-",
        "null=NA",
        "on_error=report",
        "outputs=proba",
    ]


@pytest.mark.parametrize("cut", [cut_in_the_body, cut_after_the_body])
def test_lost_upload_is_sent_again_from_the_beginning(connect: Connect, file: Path, cut: Script) -> None:
    with scripted(cut, cut, accept) as server, connect(server.url) as client:
        assert client.submit(file).id == ID
    assert server.exchanges[-1].body == CSV
    assert len({exchange.headers["idempotency-key"] for exchange in server.exchanges}) == 1


@pytest.mark.parametrize(("cut", "is_whole"), [(cut_in_the_body, False), (cut_after_the_body, True)])
def test_only_a_whole_body_may_have_been_accepted(
    connect: Connect, file: Path, large_file: Path, cut: Script, is_whole: bool
) -> None:
    with (
        scripted(cut) as server,
        connect(server.url, retry_for=0) as client,
        pytest.raises(GatewayUnreachable, match="was lost") as raised,
    ):
        client.submit(file if is_whole else large_file)
    assert raised.value.may_be_accepted is is_whole


def test_upload_whose_key_is_in_use_waits_for_the_first_attempt(connect: Connect, file: Path) -> None:
    def in_use(exchange: Exchange) -> None:
        exchange.read_body().problem(409, "idempotency-key-in-use")

    with scripted(cut_in_the_body, in_use, accept) as server, connect(server.url) as client:
        assert client.submit(file).id == ID


def test_refusal_is_read_while_the_file_is_being_sent(connect: Connect, large_file: Path) -> None:
    sent: list[int] = []
    with (
        scripted(refuse_at_once) as server,
        connect(server.url) as client,
        pytest.raises(RequestRefused, match=r"Line 3 is wrong.*\n  /data/1: No\."),
    ):
        client.submit(large_file, on_sent=lambda n_bytes, _: sent.append(n_bytes))
    assert sent[-1:] != [LARGE_BYTES]


def test_refusal_is_read_from_a_server_that_reads_no_more(large_file: Path) -> None:
    def refuse_and_leave(exchange: Exchange) -> None:
        exchange.problem(413, "body-too-large")
        exchange.close()  # with bytes that were not read, so that the connection is reset

    with (
        scripted(refuse_and_leave) as server,
        Sepal(server.url, retry_for=0) as client,
        pytest.raises(RequestRefused, match="body-too-large"),
    ):
        client.submit(large_file)


def test_gateway_that_is_busy_is_asked_again(connect: Connect, large_file: Path) -> None:
    def busy(exchange: Exchange) -> None:
        exchange.problem(503, "too-many-bodies", Retry_After="0")
        exchange.wait_until_gone()

    with scripted(busy, accept) as server, connect(server.url) as client:
        assert client.submit(large_file).id == ID
    assert len(server.exchanges[-1].body) == LARGE_BYTES


def test_informational_response_does_not_stop_an_upload(connect: Connect, large_file: Path) -> None:
    def hint(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        accept(exchange)

    with scripted(hint) as server, connect(server.url) as client:
        assert client.submit(large_file).id == ID
    assert len(server.exchanges[0].body) == LARGE_BYTES


class Pipe:
    """A pipe that a thread fills."""

    def __init__(self, content: bytes) -> None:
        reader, self._writer = os.pipe()
        self.file = os.fdopen(reader, "rb")
        self._content = content
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        with os.fdopen(self._writer, "wb") as writer:
            try:
                writer.write(self._content)
            except BrokenPipeError:
                pass  # the test ended early

    def close(self) -> None:
        self.file.close()
        self._thread.join()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(CSV)
    try:
        yield pipe
    finally:
        pipe.close()


@pytest.mark.parametrize("cut", [cut_in_the_body, cut_after_the_body])
def test_pipe_is_sent_again_from_the_beginning(connect: Connect, pipe: Pipe, cut: Script) -> None:
    with scripted(cut, accept) as server, connect(server.url) as client:
        assert client.submit(pipe.file, format="csv").id == ID
    assert server.exchanges[-1].body == CSV


def test_file_object_is_sent_from_its_position(connect: Connect) -> None:
    file = io.BytesIO(b"before" + CSV)
    file.seek(6)
    with scripted(cut_in_the_body, accept) as server, connect(server.url) as client:
        client.submit(file, format="csv")
    assert server.exchanges[-1].body == CSV
    assert not file.closed


def test_compressed_file_says_so(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.zst"
    path.write_bytes(b"anything")
    with scripted(accept) as server, connect(server.url) as client:
        client.submit(path)
    assert server.exchanges[0].headers["content-encoding"] == "zstd"
    assert server.exchanges[0].headers["content-type"] == "text/csv"


@pytest.mark.parametrize("n_bytes", [len(CSV) // 2, len(CSV) * 2])
def test_file_that_changes_while_it_is_sent_is_refused(connect: Connect, file: Path, n_bytes: int) -> None:
    def change(*_: Any) -> None:
        os.truncate(file, n_bytes)

    def read_on(exchange: Exchange) -> None:
        exchange.wait_until_gone()

    with (
        scripted(read_on) as server,
        connect(server.url) as client,
        pytest.raises(InvalidInput, match="changed during the upload"),
    ):
        client.submit(file, on_sent=change)


def test_reused_key_is_a_conflict(connect: Connect, file: Path) -> None:
    def reused(exchange: Exchange) -> None:
        exchange.read_body().problem(422, "idempotency-key-reused")

    with scripted(reused) as server, connect(server.url) as client, pytest.raises(IdempotencyConflict):
        client.submit(file, idempotency_key="mine")


def test_full_storage_is_not_asked_again(connect: Connect, file: Path) -> None:
    def full(exchange: Exchange) -> None:
        exchange.read_body().problem(507, "storage-full")

    with scripted(full) as server, connect(server.url) as client, pytest.raises(Unavailable, match="storage-full"):
        client.submit(file)


@pytest.mark.parametrize(
    "frame", [pandas.DataFrame({"a": [1.5, 2.5]}, index=[7, 9]), polars.DataFrame({"a": [1.5, 2.5]})]
)
def test_data_frame_is_sent_as_arrow_without_its_index(connect: Connect, frame: Any) -> None:
    with scripted(cut_after_the_body, accept) as server, connect(server.url) as client:
        client.submit(frame)
    for exchange in server.exchanges:
        assert exchange.headers["content-type"] == "application/vnd.apache.arrow.stream"
        with pyarrow.ipc.open_stream(exchange.body) as reader:
            assert reader.read_all().to_pydict() == {"a": [1.5, 2.5]}


def test_lists_are_sent_as_lines_of_json(connect: Connect) -> None:
    with scripted(accept) as server, connect(server.url) as client:
        client.submit([[1, None], [2.5, "x"]])
    assert server.exchanges[0].headers["content-type"] == "application/x-ndjson"
    assert server.exchanges[0].body == b'[1,null]\n[2.5,"x"]\n'


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("missing.csv", {}, "No such file"),
        (".", {"format": "csv"}, "cannot be read"),
        ("rows.xlsx", {}, "is not a known format"),
        (io.BytesIO(), {}, "Give the format"),
        (io.StringIO("a"), {"format": "csv"}, "mode 'rb'"),
        ([[1]], {"format": "csv"}, "`format` is only for files"),
        ({"a": 1}, {}, "not a list of rows"),
        ([[1]], {"carry": "id"}, "list of names"),
        ([[1]], {"carry": ["a,b"]}, "comma"),
    ],
)
def test_invalid_sources_are_refused_before_anything_is_sent(source: Any, options: Any, message: str) -> None:
    with scripted() as server, Sepal(server.url) as client, pytest.raises(InvalidInput, match=message):
        client.submit(source, **options)
