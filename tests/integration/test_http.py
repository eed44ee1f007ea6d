"""Waiting, polling and canceling over HTTP, and the responses to invalid requests."""

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shared.ids import PredictionId, new_batch_id
from tests import pipelines
from tests.models import save_misbehaving
from tests.patience import patience
from tests.stack import Gateway, Stack, running_stack, wait_for

TUTORIAL = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]
PROBLEM = "application/problem+json"


@pytest.fixture(params=["iris", "breast_cancer", "iris_framework"])
def either(request: pytest.FixtureRequest) -> Gateway:
    """A gateway of each recipe, and one without the hot path."""
    gateway = request.getfixturevalue(request.param)
    assert isinstance(gateway, Gateway)
    return gateway


def rows_of(gateway: Gateway) -> list[list[float]]:
    """Return the example rows of the gateway's model card."""
    example: list[list[float]] = gateway.client.get("/model").json()["example"]
    return example


def test_request_of_the_tutorial_is_answered(iris: Gateway) -> None:
    response = iris.predict(TUTORIAL)
    assert response.status_code == 200
    answer = response.json()
    assert answer["prediction"] == [0, 1]
    assert answer["log_proba"] == [[0.0, "-Infinity", "-Infinity"], ["-Infinity", 0.0, "-Infinity"]]
    assert "queue;dur=" in response.headers["Server-Timing"]
    assert "predict;dur=" in response.headers["Server-Timing"]


def test_answer_is_standard_json(either: Gateway) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads(either.predict(rows_of(either)).content, parse_constant=refuse)


def test_respond_async_answers_at_once_and_polling_gives_the_same(either: Gateway) -> None:
    submitted = either.predict(rows_of(either), prefer="respond-async")
    assert submitted.status_code == 202
    assert submitted.headers["Preference-Applied"] == "respond-async"
    assert submitted.headers["Location"] == f"/results/{submitted.json()['id']}"
    assert int(submitted.headers["Retry-After"]) >= 1
    assert "Prefer" in submitted.headers["Vary"]
    polled = either.poll(submitted.headers["Location"])
    direct = either.predict(rows_of(either)).json()
    assert polled.status_code == 200
    assert {**polled.json(), "id": ""} == {**direct, "id": ""}


def test_respond_async_is_never_answered_with_a_result(either: Gateway) -> None:
    rows = rows_of(either)
    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(lambda _: either.predict(rows, prefer="respond-async"), range(300)))
    assert {response.status_code for response in responses} == {202}
    assert {either.poll(response.headers["Location"]).json()["status"] for response in responses} == {"succeeded"}


@pytest.mark.parametrize(
    ("prefer", "status", "applied"),
    [
        ("wait=20", 200, "wait=20"),
        ("wait=100000", 200, "wait=60"),
        ("respond-async, wait=20", 200, "wait=20"),
        ("respond-async", 202, "respond-async"),
        ("wait=0, respond-async", 202, "respond-async, wait=0"),
        ('foo; bar="a, wait=0", wait="20"', 200, "wait=20"),
        ("handling=lenient", 200, None),
    ],
)
def test_preferences_determine_the_response(either: Gateway, prefer: str, status: int, applied: str | None) -> None:
    response = either.predict(rows_of(either), prefer=prefer)
    assert response.status_code == status
    assert response.headers.get("Preference-Applied") == applied


def test_repeated_prefer_headers_are_combined(either: Gateway) -> None:
    headers = [("Prefer", "respond-async"), ("Prefer", "wait=20"), ("Content-Type", "application/json")]
    response = either.client.post("/predict", content=json.dumps({"data": rows_of(either)}), headers=headers)
    assert response.headers["Preference-Applied"] == "wait=20"


def invalid_at(column: int, value: Any) -> Callable[[list[float]], Any]:
    """Return a body whose second row has an invalid value in one column."""
    return lambda row: {"data": [row, [*row[:column], value, *row[column + 1 :]]]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (invalid_at(3, "4"), "/data/1/3"),
        (invalid_at(3, False), "/data/1/3"),
        (invalid_at(2, None), "/data/1/2"),
        (invalid_at(0, 10**400), "/data/1/0"),
        (lambda row: {"data": [row, row, row[1:]]}, "/data/2"),
        (lambda row: {"data": [[*row, 0.0]]}, "/data/0"),
        (lambda row: {"data": row}, "/data/0"),
        (lambda _: {"data": []}, "/data"),
        (lambda row: {"data": [row] * 10_001}, "/data"),
        (lambda row: {"dat": [row]}, "/data"),
        (lambda row: {"dat": [row]}, "/dat"),
        (lambda row: {"data": [row], "a/b~": 1}, "/a~1b~0"),
        (lambda row: [row], ""),
    ],
)
def test_invalid_rows_are_refused_with_a_pointer(
    either: Gateway, body: Callable[[list[float]], Any], pointer: str
) -> None:
    content = json.dumps(body(rows_of(either)[0]))
    response = either.client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert response.headers["Content-Type"] == PROBLEM
    problem = response.json()
    assert problem["code"] == "invalid-rows"
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert all(error["detail"] for error in problem["errors"])


def test_refusal_of_an_unknown_member_lists_the_allowed_members(iris: Gateway) -> None:
    response = iris.client.post("/predict", json={"data": TUTORIAL, "output": ["prediction"]})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/output"
    assert 'may have "outputs"' in error["detail"]


def test_refusal_of_many_unknown_members_is_short(iris: Gateway) -> None:
    response = iris.client.post("/predict", json={"data": TUTORIAL, **{str(number): 0 for number in range(100_000)}})
    assert response.status_code == 422
    assert 'may have "outputs"' in response.json()["errors"][0]["detail"]
    assert len(response.content) < 1000


def test_refused_request_leaves_nothing_in_the_store(iris_stack: tuple[Stack, Gateway]) -> None:
    stack, gateway = iris_stack
    wait_for(lambda: not list(stack.redis.scan_iter("sepal:unacked*")), "the acknowledgement of earlier messages")
    keys, backlog = set(stack.redis.scan_iter()), stack.redis.hgetall("sepal:backlog")
    assert gateway.predict([[1, 2, 3]]).status_code == 422
    assert gateway.client.post("/predict", content="[", headers={"Content-Type": "application/json"}).status_code == 400
    assert set(stack.redis.scan_iter()) <= keys  # a record of an earlier test may have expired
    assert stack.redis.hgetall("sepal:backlog") == backlog


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b'{"data": [[1', "application/json", 400, "malformed-json"),
        (b'{"data": [["\xff"]]}', "application/json", 400, "malformed-json"),
        (b'{"data": [[NaN]]}', "application/json", 400, "malformed-json"),
        (b'{"data": [[-Infinity]]}', "application/json", 400, "malformed-json"),
        (b"", "application/json", 400, "malformed-json"),
        (b"1,2,3,4", "text/csv", 415, "unsupported-content-type"),
        (b'{"data": [[1,2,3,4]]}', None, 415, "unsupported-content-type"),
        (b" " * (8 * 1024 * 1024 + 1), "application/json", 413, "body-too-large"),
    ],
)
def test_bodies_without_rows_are_refused(
    either: Gateway, content: bytes, media_type: str | None, status: int, code: str
) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    response = either.client.post("/predict", content=content, headers=headers)
    assert response.status_code == status
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json()["code"] == code


def test_large_body_without_a_content_length_is_refused(either: Gateway) -> None:
    chunks = (b" " * 1024 * 1024 for _ in range(9))
    response = either.client.post("/predict", content=chunks, headers={"Content-Type": "application/json"})
    assert response.status_code == 413


def test_json_media_type_may_have_a_charset_or_a_suffix(either: Gateway) -> None:
    for media_type in ("application/json; charset=utf-8", "application/vnd.rows+json"):
        content = json.dumps({"data": rows_of(either)})
        response = either.client.post("/predict", content=content, headers={"Content-Type": media_type})
        assert response.status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/predict", 405)])
def test_errors_of_the_framework_are_problems(either: Gateway, method: str, path: str, status: int) -> None:
    response = either.client.request(method, path)
    assert response.status_code == status
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json()["status"] == status


def test_root_redirects_to_the_documentation(either: Gateway) -> None:
    response = either.client.get("/")
    assert response.status_code == 307
    assert response.headers["Location"] == "/docs"
    assert either.client.get(response.headers["Location"]).status_code == 200


@pytest.mark.parametrize("text", ["x", "a" * 40, "ä" * 40, "=" * 40])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_invalid_id_is_not_found(either: Gateway, method: str, text: str) -> None:
    response = either.client.request(method, f"/results/{text}")
    assert response.status_code == 404
    assert response.json()["code"] == "prediction-not-found"


def test_unknown_id_is_not_found(either: Gateway) -> None:
    response = either.client.get(f"/results/{PredictionId.new(new_batch_id(), 0)}")
    assert response.status_code == 404


def test_known_id_with_another_secret_is_not_found(either: Gateway) -> None:
    known = PredictionId.parse(either.predict(rows_of(either), prefer="respond-async").json()["id"])
    response = either.client.get(f"/results/{PredictionId.new(known.batch_id, known.index)}")
    assert response.status_code == 404


def test_result_past_its_retention_is_gone(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir, result_ttl_seconds=1, answered_ttl_seconds=1) as (_, gateway):
        location = f"/results/{gateway.predict(TUTORIAL).json()['id']}"
        gone = wait_for(lambda: _unless(gateway.client.get(location), 200), "the end of the retention")
        assert gone.status_code == 410
        assert gateway.client.delete(location).status_code == 410


def test_answered_prediction_has_a_shorter_retention(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir, answered_ttl_seconds=600) as (stack, gateway):
        answered = PredictionId.parse(gateway.predict(TUTORIAL).json()["id"])
        polled = PredictionId.parse(gateway.predict(TUTORIAL, prefer="respond-async").json()["id"])
        gateway.poll(f"/results/{polled}")
        wait_for(lambda: 0 < stack.redis.ttl(f"sepal:batch:{answered.batch_id}") <= 600, "the shorter retention")
        assert stack.redis.ttl(f"sepal:batch:{polled.batch_id}") > 600


def test_model_card_and_liveness(iris: Gateway) -> None:
    card = iris.client.get("/model").json()
    assert card["name"] == "iris"
    assert card["classes"] == [0, 1, 2]
    assert len(card["input"]["columns"]) == 4
    assert iris.client.get("/livez").json() == {"status": "live"}


@pytest.mark.parametrize(("accept", "media_type"), [(None, "application/json"), ("text/html,*/*;q=0.8", "text/html")])
def test_model_is_a_page_for_clients_that_prefer_html(either: Gateway, accept: str | None, media_type: str) -> None:
    response = either.client.get("/model", headers={"Accept": accept} if accept else {})
    assert response.status_code == 200
    assert response.headers["Content-Type"].partition(";")[0] == media_type
    assert response.headers["Vary"] == "Accept"
    assert ("Content-Security-Policy" in response.headers) is (media_type == "text/html")


def test_error_of_the_pipeline_fails_its_prediction_with_the_reason(tmp_path: Path, models_dir: Path) -> None:
    model_dir = save_misbehaving(models_dir, pipelines.RejectsSevens())
    with running_stack(tmp_path, model_dir) as (_, gateway):
        response = gateway.predict([[7, 0]])
        assert response.status_code == 422
        assert response.json()["code"] == "rows-rejected"
        assert "a row starts with 7" in response.json()["detail"]
        result = gateway.client.get(f"/results/{response.json()['id']}")
        assert result.status_code == 200
        assert result.json()["status"] == "failed"
        assert result.json()["error"]["code"] == "rows-rejected"
        assert gateway.predict([[1, 0]]).json()["prediction"] == [1]
        large = gateway.predict([[1, 0]] * 3000 + [[7, 0]], prefer="respond-async")
        failed = gateway.poll(large.headers["Location"]).json()
        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "rows-rejected"


def test_request_beyond_the_backlog_limit_is_refused_and_leaves_nothing(stack: Stack) -> None:
    stack.start_broker()
    gateway = stack.start_gateway(max_backlog_rows=10)
    stack.start_worker()
    gateway.wait_until_ready()
    stack.parts[-1].stop()
    assert gateway.predict(TUTORIAL * 5, prefer="respond-async").status_code == 202
    keys = set(stack.redis.keys())
    response = gateway.predict(TUTORIAL, prefer="respond-async")
    assert response.status_code == 503
    assert response.json()["code"] == "backlog-full"
    assert int(response.headers["Retry-After"]) >= 1
    assert set(stack.redis.keys()) <= keys  # the announcement of the worker may have expired
    assert stack.redis.llen("interactive") == 1


def _unless(response: Any, status: int) -> Any:
    return response if response.status_code != status else None


def test_connection_that_is_idle_for_six_seconds_is_kept_open(iris: Gateway) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: sepal\r\n\r\n"
    with socket.create_connection(("127.0.0.1", iris.port)) as connection:
        connection.settimeout(patience())
        connection.sendall(request)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.settimeout(6)
        with pytest.raises(TimeoutError):  # a closed connection would return b""
            connection.recv(1)
        connection.settimeout(patience())
        connection.sendall(request)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
