"""`predict` against a server that refuses requests, cuts connections and delays: one prediction, or a clear error."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from sepal_client import (
    GatewayFault,
    GatewayUnreachable,
    IdempotencyConflict,
    InvalidInput,
    PredictionCanceled,
    PredictionExpired,
    PredictionFailed,
    RequestRefused,
    Sepal,
    Unavailable,
    WaitTimeout,
)
from tests.clients import Connect, Later
from tests.scripted import Exchange, Script, scripted
from tests.stack import free_port

ROWS = [[4.8, 3, 1.4, 0.3]]
ID = "AaIG"
MODEL = {"name": "iris", "version": "1", "digest": "sha256:0"}
RESULT = {
    "prediction": [0],
    "log_proba": [[0.0, "-Infinity", "-Infinity"]],
    "id": ID,
    "status": "succeeded",
    "model": MODEL,
}
RUNNING = {"rows": {"done": 0, "total": 1}, "id": ID, "status": "running", "model": MODEL}


def answer(exchange: Exchange) -> None:
    exchange.read_body().json(200, RESULT, Server_Timing="queue;dur=1.500, predict;dur=0.800")


def accept(exchange: Exchange) -> None:
    exchange.read_body().json(202, RUNNING, Retry_After="1")


def refuse(status: int, code: str, **headers: str) -> Script:
    return lambda exchange: exchange.read_body().problem(status, code, **headers)


def cut_before_the_response(exchange: Exchange) -> None:
    exchange.read_body().cut()


def cut_in_the_head(exchange: Exchange) -> None:
    exchange.read_body().send(b"HTTP/1.1 200 OK\r\nContent-")
    exchange.cut()


def cut_in_the_body(exchange: Exchange) -> None:
    exchange.read_body().head(200, Content_Type="application/json", Content_Length="500")
    exchange.send(b'{"prediction": [')
    exchange.cut()


def test_result_has_floats_and_times(connect: Connect) -> None:
    with scripted(answer) as server, connect(server.url) as client:
        result = client.predict(ROWS)
    assert result.prediction == [0]
    assert result.log_proba == [[0.0, float("-inf"), float("-inf")]]
    assert (result.queue_ms, result.predict_ms) == (1.5, 0.8)
    assert json.loads(server.exchanges[0].body) == {"data": ROWS}


@pytest.mark.parametrize("cut", [cut_before_the_response, cut_in_the_head, cut_in_the_body])
def test_lost_response_is_asked_for_again_with_the_same_key(connect: Connect, cut: Script) -> None:
    with scripted(cut, cut, answer) as server, connect(server.url) as client:
        assert client.predict(ROWS).prediction == [0]
    keys = {exchange.headers["idempotency-key"] for exchange in server.exchanges}
    assert len(keys) == 1
    assert {exchange.body for exchange in server.exchanges} == {b'{"data":[[4.8,3,1.4,0.3]]}'}


def test_each_call_has_a_key_of_its_own(connect: Connect) -> None:
    with scripted(answer, answer) as server, connect(server.url) as client:
        client.predict(ROWS)
        client.predict(ROWS)
    assert len({exchange.headers["idempotency-key"] for exchange in server.exchanges}) == 2


def test_key_of_the_caller_is_quoted(connect: Connect) -> None:
    with scripted(answer) as server, connect(server.url) as client:
        client.predict(ROWS, idempotency_key='order "66"')
    assert server.exchanges[0].headers["idempotency-key"] == r'"order \"66\""'


def test_missing_gateway_is_told_from_a_lost_response(connect: Connect) -> None:
    port = free_port()
    with (
        connect(f"http://127.0.0.1:{port}", retry_for=0.3) as client,
        pytest.raises(GatewayUnreachable, match=r"Cannot connect .*: check that a gateway runs there") as raised,
    ):
        client.predict(ROWS)
    assert not raised.value.may_be_accepted


def test_lost_response_without_repetition_names_the_key(connect: Connect) -> None:
    with (
        scripted(cut_before_the_response) as server,
        connect(server.url, retry_for=0) as client,
        pytest.raises(GatewayUnreachable, match="may have been accepted: submit again") as raised,
    ):
        client.predict(ROWS)
    assert raised.value.may_be_accepted
    assert f'"{raised.value.idempotency_key}"' == server.exchanges[0].headers["idempotency-key"]


def test_refusal_after_a_lost_response_names_the_key(connect: Connect) -> None:
    scripts = cut_before_the_response, refuse(503, "backlog-full", Retry_After="1000")
    with (
        scripted(*scripts) as server,
        connect(server.url) as client,
        pytest.raises(Unavailable, match="may have been accepted") as raised,
    ):
        client.predict(ROWS)
    assert raised.value.idempotency_key is not None


@pytest.mark.parametrize(
    ("status", "code"), [(503, "backlog-full"), (429, "too-many-requests"), (503, "model-unknown")]
)
def test_retry_after_is_honoured(connect: Connect, status: int, code: str) -> None:
    with scripted(refuse(status, code, Retry_After="1"), answer) as server, connect(server.url) as client:
        began = time.monotonic()
        assert client.predict(ROWS).prediction == [0]
    assert time.monotonic() - began >= 1


def test_retry_after_may_be_a_date(connect: Connect) -> None:
    def refuse_until(exchange: Exchange) -> None:
        now = datetime(2001, 1, 1, tzinfo=UTC)  # the clocks of both machines differ
        later = format_datetime(now + timedelta(seconds=1), usegmt=True)
        refuse(503, "backlog-full", Retry_After=later, Date=format_datetime(now, usegmt=True))(exchange)

    with scripted(refuse_until, answer) as server, connect(server.url) as client:
        began = time.monotonic()
        client.predict(ROWS)
    assert time.monotonic() - began >= 1


def test_gateway_that_asks_for_more_patience_than_there_is_is_not_asked_again(connect: Connect) -> None:
    with (
        scripted(refuse(503, "backlog-full", Retry_After="60")) as server,
        connect(server.url, retry_for=5) as client,
        pytest.raises(Unavailable, match="backlog-full") as raised,
    ):
        client.predict(ROWS)
    assert raised.value.retry_after == 60


def test_key_that_is_in_use_is_asked_for_again(connect: Connect) -> None:
    with scripted(refuse(409, "idempotency-key-in-use"), answer) as server, connect(server.url) as client:
        assert client.predict(ROWS).prediction == [0]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_proxy_without_a_gateway_is_asked_again(connect: Connect, status: int) -> None:
    def fail(exchange: Exchange) -> None:
        exchange.read_body().respond(status, b"<html>Bad Gateway</html>", Content_Type="text/html")

    with scripted(fail, answer) as server, connect(server.url) as client:
        assert client.predict(ROWS).prediction == [0]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (422, "invalid-rows", RequestRefused),
        (422, "idempotency-key-reused", IdempotencyConflict),
        (503, "deadline-unreachable", Unavailable),
        (507, "storage-full", Unavailable),
        (500, "internal-error", GatewayFault),
        (418, "an-unknown-code", RequestRefused),
    ],
)
def test_refusal_is_not_repeated(connect: Connect, status: int, code: str, error: type[Exception]) -> None:
    with (
        scripted(refuse(status, code, Retry_After="1")) as server,
        connect(server.url) as client,
        pytest.raises(error, match=code),
    ):
        client.predict(ROWS)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (422, "rows-rejected", PredictionFailed),
        (500, "poison", PredictionFailed),
        (503, "model-changed", PredictionFailed),
        (504, "prediction-expired", PredictionExpired),
        (409, "prediction-canceled", PredictionCanceled),
    ],
)
def test_end_without_a_result_has_the_id(connect: Connect, status: int, code: str, error: Any) -> None:
    def end(exchange: Exchange) -> None:
        body = {"code": code, "detail": "It is so.", "id": ID}
        exchange.read_body().json(status, body, Content_Type="application/problem+json", Retry_After="1")

    with scripted(end) as server, connect(server.url) as client, pytest.raises(error, match="It is so") as raised:
        client.predict(ROWS)
    assert (raised.value.prediction_id, raised.value.problem.code) == (ID, code)


def test_faults_are_in_the_error(connect: Connect) -> None:
    faults = [{"pointer": f"/data/0/{index}", "detail": "Must be a number."} for index in range(5)]

    def refuse_rows(exchange: Exchange) -> None:
        body = {"code": "invalid-rows", "detail": "The rows do not fit.", "errors": faults}
        exchange.read_body().json(422, body, Content_Type="application/problem+json")

    with (
        scripted(refuse_rows) as server,
        connect(server.url) as client,
        pytest.raises(RequestRefused, match=r"/data/0/2: Must be a number\.\n  and 2 more") as raised,
    ):
        client.predict(ROWS)
    assert [fault.pointer for fault in raised.value.faults] == [fault["pointer"] for fault in faults]


def test_accepted_prediction_is_followed_to_its_result(connect: Connect) -> None:
    def events(exchange: Exchange) -> None:
        exchange.head(200, Content_Type="text/event-stream")
        for number, (name, status) in enumerate([("progress", RUNNING), ("end", {**RUNNING, "status": "succeeded"})]):
            exchange.send(f"id: {number}\nevent: {name}\ndata: {json.dumps(status)}\n\n".encode())

    with scripted(accept, events, answer) as server, connect(server.url) as client:
        assert client.predict(ROWS).prediction == [0]
    assert [exchange.line.split()[1] for exchange in server.exchanges] == [
        "/predict",
        f"/results/{ID}/events",
        f"/results/{ID}",
    ]


def test_too_many_waiters_are_left_alone(connect: Connect) -> None:
    def no_events(exchange: Exchange) -> None:
        exchange.problem(503, "too-many-waiters", Retry_After="1")

    scripts = refuse(503, "too-many-waiters", Retry_After="0"), accept, no_events, answer, answer
    with scripted(*scripts) as server, connect(server.url) as client:
        assert client.predict(ROWS).prediction == [0]
    assert [exchange.headers["prefer"] for exchange in server.exchanges[:2]] == ["wait=20", "respond-async"]


def test_wait_ends_in_time_and_tells_the_id(connect: Connect, later: Later) -> None:
    def quiet(exchange: Exchange) -> None:
        exchange.head(200, Content_Type="text/event-stream")
        later(1000)
        exchange.send(f"id: 1\nevent: progress\ndata: {json.dumps(RUNNING)}\n\n".encode())
        exchange.wait_until_gone()

    def running(exchange: Exchange) -> None:
        exchange.json(202, RUNNING, Retry_After="60")

    with (
        scripted(accept, quiet, running) as server,
        connect(server.url) as client,
        pytest.raises(WaitTimeout, match=ID) as raised,
    ):
        client.predict(ROWS, wait=500)
    assert raised.value.prediction_id == ID


def test_deadline_counts_from_the_first_attempt(connect: Connect) -> None:
    with scripted(refuse(503, "backlog-full", Retry_After="1"), answer) as server, connect(server.url) as client:
        client.predict(ROWS, deadline=100)
    first, second = [float(exchange.headers["sepal-deadline"]) for exchange in server.exchanges]
    assert first <= 100
    assert second <= first - 1


def test_server_that_is_no_gateway_is_named(connect: Connect) -> None:
    def home_page(exchange: Exchange) -> None:
        exchange.read_body().respond(200, b"<html>Welcome!</html>", Content_Type="text/html")

    with (
        scripted(home_page) as server,
        connect(server.url) as client,
        pytest.raises(GatewayFault, match=r"responded with 200 and text/html: check that it is a Sepal gateway"),
    ):
        client.predict(ROWS)


def test_redirect_names_the_other_address(connect: Connect) -> None:
    def redirect(exchange: Exchange) -> None:
        exchange.read_body().respond(308, Location="https://sepal.example/predict")

    with (
        scripted(redirect) as server,
        connect(server.url) as client,
        pytest.raises(GatewayFault, match=r"redirects to https://sepal\.example/predict"),
    ):
        client.predict(ROWS)


def test_host_without_an_address_is_not_looked_for_twice(connect: Connect) -> None:
    with connect("http://sepal.invalid") as client, pytest.raises(GatewayUnreachable, match=r"sepal\.invalid"):
        client.predict(ROWS)


@pytest.mark.parametrize(
    "options",
    [{"deadline": 0}, {"deadline": -1}, {"idempotency_key": ""}, {"idempotency_key": "é"}, {"outputs": "proba"}],
)
def test_invalid_options_are_refused_before_anything_is_sent(options: dict[str, Any]) -> None:
    with scripted() as server, Sepal(server.url) as client, pytest.raises(InvalidInput):
        client.predict(ROWS, **options)


def test_credentials_are_sent(connect: Connect) -> None:
    with scripted(answer) as server, connect(server.url, api_key="secret") as client:
        client.predict(ROWS)
    assert server.exchanges[0].headers["authorization"] == "Bearer secret"
