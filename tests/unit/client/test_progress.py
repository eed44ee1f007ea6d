"""Following a prediction, with and without events, against a server that cuts, buffers and refuses."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from sepal_client import (
    AccessDenied,
    GatewayUnreachable,
    PredictionAlreadyFinal,
    PredictionCanceled,
    PredictionExpired,
    PredictionFailed,
    PredictionGone,
    PredictionNotFound,
    Problem,
    Sepal,
    State,
    WaitTimeout,
)
from tests.clients import Connect, Later
from tests.patience import patience
from tests.scripted import Exchange, Script, scripted

ID = "AaIG"
MODEL = {"name": "iris", "version": "1", "digest": "sha256:0"}


def status_of(n_done: int, state: str = "running", **more: Any) -> dict[str, Any]:
    return {"rows": {"done": n_done, "total": 9, "bad": 0}, "id": ID, "status": state, "model": MODEL, **more}


def event(exchange: Exchange, number: int, state: str = "running", **more: Any) -> None:
    name = "progress" if state == "running" else "end"
    data = json.dumps(status_of(number, state, **more))
    exchange.send(f"id: {number}\nevent: {name}\ndata: {data}\n\n".encode())


def events(*numbers: int, last: str = "running", **more: Any) -> Script:
    """Send events and end the connection; the last event has another state."""

    def script(exchange: Exchange) -> None:
        exchange.head(200, Content_Type="text/event-stream")
        for number in numbers:
            event(exchange, number, last if number == numbers[-1] else "running", **more)

    return script


def look_up(n_done: int, state: str = "running", retry_after: int = 0, **more: Any) -> Script:
    status = 202 if state == "running" else 200
    return lambda exchange: exchange.json(status, status_of(n_done, state, **more), Retry_After=str(retry_after))


def refuse(status: int, code: str, **headers: str) -> Script:
    return lambda exchange: exchange.problem(status, code, **headers)


def rows_done(client: Any) -> list[int]:
    return [each.rows_done for each in client.prediction(ID).progress()]


@pytest.fixture
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("_sync", "_async"):
        monkeypatch.setattr(f"sepal_client.{kind}.events._FIRST_EVENT_SECONDS", 1.0)


def test_events_are_yielded_to_the_end(connect: Connect) -> None:
    with scripted(events(1, 2, 9, last="succeeded")) as server, connect(server.url) as client:
        changes = list(client.prediction(ID).progress())
    assert [change.rows_done for change in changes] == [1, 2, 9]
    assert [change.is_final for change in changes] == [False, False, True]
    assert changes[-1].state is State.SUCCEEDED


def test_progress_has_position_rate_and_time_left(connect: Connect) -> None:
    more: dict[str, Any] = {"position": 3, "rows_per_second": 812.5, "seconds_left": 7}
    with scripted(look_up(5, **more)) as server, connect(server.url) as client:
        progress = client.prediction(ID).status()
    assert (progress.position, progress.rows_per_second, progress.seconds_left) == (3, 812.5, 7)
    assert (progress.rows_done, progress.rows_total, progress.rows_bad) == (5, 9, 0)


def test_lost_events_are_continued_after_the_last_one(connect: Connect) -> None:
    scripts = events(1, 2), look_up(2), events(5), look_up(6), events(9, last="succeeded")
    with scripted(*scripts) as server, connect(server.url) as client:
        assert rows_done(client) == [1, 2, 5, 6, 9]
    assert [server.exchanges[index].headers.get("last-event-id") for index in (0, 2, 4)] == [None, "2", "5"]


def test_end_that_was_missed_is_looked_up(connect: Connect) -> None:
    def end_was_seen(exchange: Exchange) -> None:
        exchange.head(204)

    with scripted(events(1), look_up(9, "succeeded")) as server, connect(server.url) as client:
        assert rows_done(client) == [1, 9]
    with scripted(end_was_seen, look_up(9, "succeeded")) as server, connect(server.url) as client:
        assert rows_done(client) == [9]


@pytest.mark.usefixtures("short_silence")
def test_gathering_proxy_is_polled(connect: Connect) -> None:
    def gather(exchange: Exchange) -> None:
        exchange.head(200, Content_Type="text/event-stream")
        exchange.wait_until_gone()

    scripts = gather, look_up(1), look_up(1), look_up(4), look_up(9, "succeeded")
    with scripted(*scripts) as server, connect(server.url) as client:
        assert rows_done(client) == [1, 4, 9]


@pytest.mark.parametrize(
    "without_events",
    [
        lambda exchange: exchange.respond(200, b"<html>", Content_Type="text/html"),
        lambda exchange: exchange.respond(404, b"<html>", Content_Type="text/html"),
        refuse(503, "too-many-waiters", Retry_After="1"),
    ],
)
def test_events_that_are_not_to_be_had_are_replaced_by_polling(connect: Connect, without_events: Script) -> None:
    scripts = without_events, look_up(1), look_up(9, "succeeded")
    with scripted(*scripts) as server, connect(server.url) as client:
        assert rows_done(client) == [1, 9]


def test_events_that_are_cut_again_and_again_are_replaced_by_polling(connect: Connect) -> None:
    def cut(exchange: Exchange) -> None:
        exchange.cut()

    scripts = cut, look_up(1), cut, look_up(1), cut, look_up(2), look_up(3), look_up(9, "succeeded")
    with scripted(*scripts) as server, connect(server.url) as client:
        assert rows_done(client) == [1, 2, 3, 9]


def test_polling_honours_retry_after(connect: Connect) -> None:
    scripts = refuse(503, "too-many-waiters", Retry_After="1"), look_up(1, retry_after=1), look_up(9, "succeeded")
    with scripted(*scripts) as server, connect(server.url) as client:
        began = time.monotonic()
        client.prediction(ID).wait()
    assert time.monotonic() - began >= 1


def test_wait_returns_the_end(connect: Connect) -> None:
    with scripted(events(9, last="succeeded")) as server, connect(server.url) as client:
        assert client.prediction(ID).wait().rows_done == 9


@pytest.mark.parametrize(
    ("state", "error", "code"),
    [
        ("failed", PredictionFailed, "rows-rejected"),
        ("canceled", PredictionCanceled, "prediction-canceled"),
        ("expired", PredictionExpired, "prediction-expired"),
    ],
)
def test_wait_raises_what_progress_only_tells(connect: Connect, state: str, error: Any, code: str) -> None:
    faults = [{"pointer": "/data/3", "detail": "Is wrong."}]
    more = {"error": {"code": code, "detail": "It is so.", "errors": faults}} if state == "failed" else {}
    script = events(1, 4, last=state, **more)
    with scripted(script, script) as server, connect(server.url) as client:
        assert list(client.prediction(ID).progress())[-1].state == state
        with pytest.raises(error) as raised:
            client.prediction(ID).wait()
    assert (raised.value.prediction_id, raised.value.problem.code) == (ID, code)
    assert isinstance(raised.value.problem, Problem)
    if state == "failed":
        assert raised.value.problem.faults[0].pointer == "/data/3"


def test_wait_is_over_in_time_although_events_arrive(connect: Connect, later: Later) -> None:
    def keep_sending(exchange: Exchange) -> None:
        exchange.head(200, Content_Type="text/event-stream")
        event(exchange, 1)
        later(1000)
        for number in range(2, 10_000):
            event(exchange, number)
            time.sleep(0.05)

    with scripted(keep_sending) as server, connect(server.url) as client:
        began = time.monotonic()
        with pytest.raises(WaitTimeout):
            client.prediction(ID).wait(timeout=500)
    assert time.monotonic() - began < patience()


def test_gateway_that_is_replaced_is_awaited(connect: Connect) -> None:
    busy = refuse(503, "model-unknown", Retry_After="0")
    with (
        scripted(events(1), busy, busy, look_up(1), events(9, last="succeeded")) as server,
        connect(server.url) as client,
    ):
        assert rows_done(client) == [1, 9]


def test_gateway_that_stays_away_leaves_the_prediction(connect: Connect) -> None:
    with (
        scripted(events(1)) as server,
        connect(server.url, retry_for=0.3) as client,
        pytest.raises(GatewayUnreachable, match=f"The prediction {ID} is not affected"),
    ):
        client.prediction(ID).wait()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "prediction-not-found", PredictionNotFound),
        (410, "prediction-gone", PredictionGone),
        (401, "unknown-credentials", AccessDenied),
    ],
)
def test_unknown_prediction_is_an_error(connect: Connect, status: int, code: str, error: Any) -> None:
    with scripted(refuse(status, code)) as server, connect(server.url) as client, pytest.raises(error):
        client.prediction(ID).wait()


def test_small_prediction_is_looked_up_without_a_window(connect: Connect) -> None:
    result = {"prediction": [0, 1], "id": ID, "status": "succeeded", "model": MODEL}

    def whole(exchange: Exchange) -> None:
        exchange.json(200, result)

    with scripted(refuse(422, "invalid-parameter"), whole, whole) as server, connect(server.url) as client:
        prediction = client.prediction(ID)
        assert prediction.status().rows_total == 2
        assert prediction.status().state is State.SUCCEEDED
    assert [exchange.line.split()[1] for exchange in server.exchanges] == [
        f"/results/{ID}?limit=0",
        f"/results/{ID}",
        f"/results/{ID}",
    ]


def test_result_beyond_one_response_is_read_in_pages(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("_sync", "_async"):
        monkeypatch.setattr(f"sepal_client.{kind}.look_ups._PAGE_ROWS", 6)

    def page(*rows: int) -> Script:
        body = {"prediction": list(rows), "carried": {"id": [str(row) for row in rows]}, "model": MODEL, "id": ID}
        errors = [{"pointer": f"/data/{row}", "detail": "Is bad."} for row in rows if row == 7]
        return lambda exchange: exchange.json(200, {**body, "errors": errors, "status": "succeeded"})

    too_large = refuse(406, "not-acceptable")
    pages = page(0, 1, 2), page(3, 4, 5), page(6, 7, 8)
    with scripted(events(9, last="succeeded"), too_large, too_large, *pages) as server, connect(server.url) as client:
        result = client.prediction(ID).result()
    assert result.prediction == list(range(9))
    assert result.carried == {"id": [str(row) for row in range(9)]}
    assert result.errors == {7: "Is bad."}
    assert [exchange.line.split()[1].partition("?")[2] for exchange in server.exchanges[2:]] == [
        "offset=0&limit=6",
        "offset=0&limit=3",
        "offset=3&limit=3",
        "offset=6&limit=3",
    ]


def test_cancel_returns_the_end(connect: Connect) -> None:
    with scripted(look_up(3, "canceled")) as server, connect(server.url) as client:
        assert client.prediction(ID).cancel().state is State.CANCELED
    assert server.exchanges[0].line == f"DELETE /results/{ID} HTTP/1.1"


def test_cancel_whose_response_was_lost_has_canceled(connect: Connect) -> None:
    def cut(exchange: Exchange) -> None:
        exchange.cut()

    scripts = cut, refuse(409, "prediction-already-final"), look_up(3, "canceled")
    with scripted(*scripts) as server, connect(server.url) as client:
        assert client.prediction(ID).cancel().state is State.CANCELED


def test_cancel_of_a_final_prediction_is_an_error(connect: Connect) -> None:
    with (
        scripted(refuse(409, "prediction-already-final")) as server,
        connect(server.url) as client,
        pytest.raises(PredictionAlreadyFinal),
    ):
        client.prediction(ID).cancel()


def test_list_has_all_pages(connect: Connect) -> None:
    def page(numbers: list[int], **cursor: str) -> Script:
        return lambda exchange: exchange.json(200, {"predictions": [status_of(n) for n in numbers], **cursor})

    with scripted(page([1, 2], cursor="17"), page([3])) as server, connect(server.url) as client:
        assert [each.rows_done for each in client.predictions(states=[State.RUNNING, "queued"])] == [1, 2, 3]
    assert server.exchanges[0].line.split()[1] == "/predictions?state=running&state=queued"
    assert server.exchanges[1].line.split()[1] == "/predictions?state=running&state=queued&cursor=17"


def test_connection_is_closed_when_a_follower_stops(connect: Connect) -> None:
    gone = []

    def wait(exchange: Exchange) -> None:
        exchange.head(200, Content_Type="text/event-stream")
        event(exchange, 1)
        exchange.wait_until_gone()
        gone.append(True)

    with scripted(wait) as server, connect(server.url) as client:
        changes = iter(client.prediction(ID).progress())
        assert next(changes).rows_done == 1
        changes.close()
        server.stop()
        assert gone


def test_score_reports_each_step(connect: Connect, tmp_path: Path) -> None:
    def accept(exchange: Exchange) -> None:
        exchange.read_body().json(202, status_of(0, "queued"))

    def send(exchange: Exchange) -> None:
        exchange.respond(200, b"prediction\n1\n", Content_Type="text/csv")

    source, target = tmp_path / "rows.csv", tmp_path / "scored.csv"
    source.write_text("a\n1\n")
    steps: list[Any] = []
    with scripted(accept, events(4, 9, last="succeeded"), send) as server, connect(server.url) as client:
        done = client.score(
            source,
            target,
            on_sent=lambda n_bytes, _: steps.append(("sent", n_bytes)),
            on_progress=lambda progress: steps.append(("done", progress.rows_done)),
            on_received=lambda n_bytes, _: steps.append(("received", n_bytes)),
        )
    assert done == target
    assert target.read_text() == "prediction\n1\n"
    assert steps == [("sent", 4), ("done", 4), ("done", 9), ("received", 13)]


def test_score_without_a_result_raises(tmp_path: Path) -> None:
    def accept(exchange: Exchange) -> None:
        exchange.read_body().json(202, status_of(0, "queued"))

    source = tmp_path / "rows.csv"
    source.write_text("a\n1\n")
    script = events(9, last="expired")
    for on_progress in (None, lambda _: None):
        with scripted(accept, script) as server, Sepal(server.url) as client, pytest.raises(PredictionExpired):
            client.score(source, tmp_path / "scored.csv", on_progress=on_progress)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
