"""`download` against a server that cuts connections: a complete file, or an error and no file."""

import asyncio
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from sepal_client import (
    AsyncSepal,
    DownloadIncomplete,
    GatewayFault,
    InvalidInput,
    PredictionFailed,
    PredictionGone,
    RequestRefused,
    Sepal,
    Unavailable,
)
from tests.clients import Connect
from tests.scripted import Exchange, Script, scripted

ID = "AaIG"
STATUS = {"rows": {"done": 9, "total": 9, "bad": 0}, "id": ID, "status": "succeeded"}
ARROW, CSV = "application/vnd.apache.arrow.stream", "text/csv; charset=utf-8"
RESULT = os.urandom(3_000_000)
ETAG = '"5e9a1"'


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def end(exchange: Exchange) -> None:
    """Say that the prediction has succeeded."""
    exchange.head(200, Content_Type="text/event-stream")
    exchange.send(f"id: 9\nevent: end\ndata: {json.dumps(STATUS)}\n\n".encode())


def send(exchange: Exchange, part: bytes, *, to_its_end: bool = True) -> None:
    for start in range(0, len(part), 2**16):
        exchange.chunk(part[start : start + 2**16])
    if to_its_end:
        exchange.send(b"0\r\n\r\n")
    else:
        exchange.cut()


def stream(media_type: str, part: bytes = RESULT, *, to_its_end: bool = True, **headers: str) -> Script:
    """Send a result, or only a part of it."""

    def script(exchange: Exchange) -> None:
        assert "range" not in exchange.headers
        exchange.head(200, Content_Type=media_type, Transfer_Encoding="chunked", **headers)
        send(exchange, part, to_its_end=to_its_end)

    return script


def arrow(part: bytes = RESULT, *, to_its_end: bool = True, etag: str = ETAG) -> Script:
    return stream(ARROW, part, to_its_end=to_its_end, ETag=etag, Accept_Ranges="bytes")


def rest(n_bytes: int = len(RESULT)) -> Script:
    """Send what a range asks for, up to a byte; the connection is cut there if that is not the last."""

    def script(exchange: Exchange) -> None:
        assert exchange.headers["if-range"] == ETAG
        start = int(exchange.headers["range"].removeprefix("bytes=").removesuffix("-"))
        total = len(RESULT)
        exchange.head(
            206,
            Content_Type=ARROW,
            Content_Length=str(total - start),
            Content_Range=f"bytes {start}-{total - 1}/{total}",
            ETag=ETAG,
        )
        exchange.send(RESULT[start:n_bytes])
        if n_bytes < total:
            exchange.cut()

    return script


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "result.arrow"


def test_result_is_written_to_the_file(connect: Connect, target: Path) -> None:
    received: list[tuple[int, int | None]] = []
    with scripted(end, arrow()) as server, connect(server.url) as client:
        client.prediction(ID).download(target, on_received=lambda *counts: received.append(counts))
    assert target.read_bytes() == RESULT
    assert received[-1] == (len(RESULT), None)
    assert server.exchanges[1].headers["accept"] == ARROW
    assert names_in(target.parent) == [target.name]


def test_lost_connections_are_resumed_where_they_were_lost(connect: Connect, target: Path) -> None:
    scripts = end, arrow(RESULT[:1_500_000], to_its_end=False), rest(2_000_000), rest(2_000_001), rest()
    with scripted(*scripts) as server, connect(server.url) as client:
        client.prediction(ID).download(target)
    assert target.read_bytes() == RESULT
    asked = [int(exchange.headers["range"].strip("bytes=-")) for exchange in server.exchanges[2:]]
    assert asked == sorted(asked)
    assert asked[0] > 0


def test_result_that_was_lost_after_its_last_byte_is_complete(connect: Connect, target: Path) -> None:
    def not_satisfiable(exchange: Exchange) -> None:
        assert exchange.headers["range"] == f"bytes={len(RESULT)}-"
        headers = {"Content_Range": f"bytes */{len(RESULT)}"}
        exchange.problem(416, "range-not-satisfiable", **headers)

    def close_before_the_last_chunk(exchange: Exchange) -> None:
        exchange.head(200, Content_Type=ARROW, Transfer_Encoding="chunked", ETag=ETAG, Accept_Ranges="bytes")
        exchange.chunk(RESULT)

    with scripted(end, close_before_the_last_chunk, not_satisfiable) as server, connect(server.url) as client:
        client.prediction(ID).download(target)
    assert target.read_bytes() == RESULT


def test_result_with_another_tag_begins_again(connect: Connect, target: Path) -> None:
    other = os.urandom(100_000)

    def send_other(exchange: Exchange) -> None:
        assert exchange.headers["if-range"] == ETAG
        exchange.respond(200, other, Content_Type=ARROW, ETag='"0ther"', Accept_Ranges="bytes")

    with scripted(end, arrow(RESULT[:500_000], to_its_end=False), send_other) as server, connect(server.url) as client:
        client.prediction(ID).download(target)
    assert target.read_bytes() == other


@pytest.mark.parametrize(
    "cut",
    [
        stream(CSV, RESULT[:100_000], to_its_end=False),
        stream(CSV, RESULT[:100_000], to_its_end=False, ETag=ETAG),  # without ranges
        stream(CSV, RESULT[:100_000], to_its_end=False, ETag="W/" + ETAG, Accept_Ranges="bytes"),
    ],
)
def test_result_without_ranges_begins_again(connect: Connect, tmp_path: Path, cut: Script) -> None:
    target = tmp_path / "result.csv"
    with scripted(end, cut, stream(CSV)) as server, connect(server.url) as client:
        client.prediction(ID).download(target)
    assert target.read_bytes() == RESULT


def test_result_that_cannot_be_read_to_its_end_leaves_what_was_there(connect: Connect, target: Path) -> None:
    target.write_bytes(b"of yesterday")
    with (
        scripted(end, arrow(RESULT[:500_000], to_its_end=False)) as server,
        connect(server.url, retry_for=0) as client,
        pytest.raises(DownloadIncomplete, match=f"was lost .* The prediction {ID} is not affected.* no file"),
    ):
        client.prediction(ID).download(target)
    assert target.read_bytes() == b"of yesterday"
    assert names_in(target.parent) == [target.name]


def test_interrupted_download_leaves_no_file(target: Path) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def send_until_gone(exchange: Exchange) -> None:
        exchange.head(200, Content_Type=ARROW, Transfer_Encoding="chunked")
        for start in range(0, 2_000_000, 2**16):
            exchange.chunk(RESULT[start : start + 2**16])
        exchange.wait_until_gone()

    with scripted(end, send_until_gone) as server, Sepal(server.url) as client, pytest.raises(KeyboardInterrupt):
        client.prediction(ID).download(target, on_received=interrupt)
    assert names_in(target.parent) == []


def test_silent_connection_is_given_up_and_resumed(connect: Connect, target: Path) -> None:
    def fall_silent(exchange: Exchange) -> None:
        exchange.head(200, Content_Type=ARROW, Transfer_Encoding="chunked", ETag=ETAG, Accept_Ranges="bytes")
        exchange.chunk(RESULT[:1000])
        exchange.wait_until_gone()

    with scripted(end, fall_silent, rest()) as server, connect(server.url, timeout=5) as client:
        client.prediction(ID).download(target)
    assert target.read_bytes() == RESULT


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(410, "prediction-gone", PredictionGone), (406, "not-acceptable", RequestRefused)],
)
def test_refusal_leaves_no_file(connect: Connect, target: Path, status: int, code: str, error: Any) -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.problem(status, code)

    with scripted(end, refuse) as server, connect(server.url) as client, pytest.raises(error, match=code):
        client.prediction(ID).download(target)
    assert names_in(target.parent) == []


def test_busy_gateway_is_asked_again(connect: Connect, target: Path) -> None:
    def busy(exchange: Exchange) -> None:
        exchange.problem(503, "result-not-written", Retry_After="0")

    with scripted(end, busy, arrow()) as server, connect(server.url) as client:
        client.prediction(ID).download(target)
    assert target.read_bytes() == RESULT


def test_file_object_gets_the_bytes_and_is_resumed(connect: Connect) -> None:
    file = io.BytesIO()
    with scripted(end, arrow(RESULT[:500_000], to_its_end=False), rest()) as server, connect(server.url) as client:
        client.prediction(ID).download(file, format="arrow")
    assert file.getvalue() == RESULT


def test_file_object_does_not_get_anything_twice(connect: Connect) -> None:
    file = io.BytesIO()
    cut = stream(CSV, RESULT[:100_000], to_its_end=False)
    with (
        scripted(end, cut, stream(CSV, b"a,b")) as server,
        connect(server.url) as client,
        pytest.raises(DownloadIncomplete, match=r"lost after \d+ bytes.*write to a file"),
    ):
        client.prediction(ID).download(file, format="csv")
    assert RESULT.startswith(file.getvalue())


def test_device_is_written_to_in_place(connect: Connect) -> None:
    with scripted(end, stream(CSV)) as server, connect(server.url) as client:
        client.prediction(ID).download("/dev/null", format="csv")
    assert not Path("/dev/null").is_file()


def test_symbolic_link_stays_one(connect: Connect, target: Path) -> None:
    link = target.with_name("link.arrow")
    link.symlink_to(target)
    with scripted(end, arrow()) as server, connect(server.url) as client:
        client.prediction(ID).download(link)
    assert link.is_symlink()
    assert target.read_bytes() == RESULT


def test_compressed_result_stays_compressed(connect: Connect, tmp_path: Path) -> None:
    target = tmp_path / "result.csv.gz"
    with (
        scripted(end, stream(CSV, gzip.compress(b"a,b\n"), Content_Encoding="gzip")) as server,
        connect(server.url) as client,
    ):
        client.prediction(ID).download(target)
    assert server.exchanges[1].headers["accept-encoding"] == "gzip"
    assert gzip.decompress(target.read_bytes()) == b"a,b\n"


def test_result_in_a_form_that_was_not_asked_for_is_refused(connect: Connect, tmp_path: Path) -> None:
    def without_an_end(exchange: Exchange) -> None:
        exchange.head(200, Content_Type=CSV)
        exchange.send(b"a,b\n")

    for script in (
        stream(CSV, b"...", Content_Encoding="gzip"),
        stream("text/html", b"<html>"),
        without_an_end,  # as HTTP/1.0 does: a lost connection looks like the end
    ):
        with scripted(end, script) as server, connect(server.url) as client, pytest.raises(GatewayFault):
            client.prediction(ID).download(tmp_path / "result.csv")
    assert names_in(tmp_path) == []


def test_window_is_the_query(connect: Connect, target: Path) -> None:
    with scripted(end, arrow()) as server, connect(server.url) as client:
        client.prediction(ID).download(target, offset=10, limit=5)
    assert server.exchanges[1].line == f"GET /results/{ID}?offset=10&limit=5 HTTP/1.1"


def test_rows_that_are_not_done_are_no_result(connect: Connect, target: Path) -> None:
    def running(exchange: Exchange) -> None:
        exchange.json(202, {**STATUS, "status": "running"}, Retry_After="1")

    with (
        scripted(running, running) as server,
        connect(server.url) as client,
        pytest.raises(DownloadIncomplete, match="No rows are done yet"),
    ):
        client.prediction(ID).download(target, partial=True)
    assert names_in(target.parent) == []


def test_failed_prediction_has_no_file(connect: Connect, target: Path) -> None:
    failed = {**STATUS, "status": "failed", "error": {"code": "rows-rejected", "detail": "Row 3 is wrong."}}

    def fail(exchange: Exchange) -> None:
        exchange.json(200, failed)

    for options in ({}, {"partial": True}):
        with (
            scripted(*([fail, fail] if not options else [fail])) as server,
            connect(server.url) as client,
            pytest.raises(PredictionFailed, match="Row 3 is wrong"),
        ):
            client.prediction(ID).download(target, **options)
    assert names_in(target.parent) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("missing/result.csv", {}, "cannot be written"),
        ("result.xlsx", {}, "is not a known format"),
        ("result.feather", {}, "Results are not available as feather"),
        ("result.csv.zst", {}, r"Results are not available as csv\.zst"),
        ("result", {}, "is not a known format"),
        ("result.csv", {"offset": -1}, "must not be negative"),
    ],
)
def test_targets_that_cannot_be_written_are_refused(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    scripts = [end] if name.startswith("missing") else []
    with scripted(*scripts) as server, Sepal(server.url) as client, pytest.raises(InvalidInput, match=message):
        client.prediction(ID).download(tmp_path / name, **options)


def test_full_disk_leaves_no_file(connect: Connect) -> None:
    with scripted(end, arrow()) as server, connect(server.url) as client, pytest.raises(OSError, match="No space left"):
        client.prediction(ID).download("/dev/full", format="arrow")


def test_gateway_that_stays_away_is_unavailable(connect: Connect, target: Path) -> None:
    def busy(exchange: Exchange) -> None:
        exchange.problem(503, "object-store-unavailable", Retry_After="60")

    with scripted(end, busy) as server, connect(server.url, retry_for=1) as client, pytest.raises(Unavailable):
        client.prediction(ID).download(target)
    assert names_in(target.parent) == []


def test_error_of_a_callback_leaves_each_byte_written_once(connect: Connect) -> None:
    file = io.BytesIO()

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with scripted(end, stream(CSV)) as server, connect(server.url) as client, pytest.raises(ZeroDivisionError):
        client.prediction(ID).download(file, format="csv", on_received=fail)
    assert RESULT.startswith(file.getvalue())


async def test_canceled_download_leaves_no_file(target: Path) -> None:
    def send_until_gone(exchange: Exchange) -> None:
        exchange.head(200, Content_Type=ARROW, Transfer_Encoding="chunked")
        exchange.chunk(RESULT)
        exchange.wait_until_gone()

    received = asyncio.Event()
    with scripted(end, send_until_gone) as server:
        async with AsyncSepal(server.url) as client:
            download = client.prediction(ID).download(target, on_received=lambda *_: received.set())
            task = asyncio.create_task(download)
            await received.wait()
            assert names_in(target.parent) != []
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert names_in(target.parent) == []
