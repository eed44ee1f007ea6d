"""Open predictions: waiting, progress and canceling."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from shared.ids import BatchId, PredictionId
from shared.store.records import unpack_members
from tests.gates import Gates
from tests.stack import Gateway, Stack, running_stack, wait_for

GATE = 100
BATCH_ROWS = 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    with running_stack(tmp_path_factory.mktemp("stack"), model_dir) as stack_and_gateway:
        yield stack_and_gateway


def test_request_is_answered_202_when_its_wait_ends(running: tuple[Stack, Gateway], gates: Gates) -> None:
    _, gateway = running
    with gates.closed(GATE):
        response = gateway.predict([[1, GATE]], prefer="wait=1")
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=1"
    assert response.json()["status"] in ("queued", "running")
    assert gateway.poll(response.headers["Location"]).json()["prediction"] == [1]


def test_state_is_running_after_the_claim(running: tuple[Stack, Gateway], gates: Gates) -> None:
    _, gateway = running
    with gates.closed(GATE):
        location = gateway.predict([[1, GATE]], prefer="respond-async").headers["Location"]
        wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the state running")
    assert gateway.poll(location).json()["status"] == "succeeded"


def test_canceled_prediction_is_final_and_never_claimed(running: tuple[Stack, Gateway], gates: Gates) -> None:
    stack, gateway = running
    with gates.closed(GATE):
        first = gateway.predict([[1, GATE]], prefer="respond-async").headers["Location"]
        second = gateway.predict([[1, 0]], prefer="respond-async").headers["Location"]
        canceled = gateway.client.delete(second)
        assert canceled.status_code == 200
        assert canceled.json()["status"] == "canceled"
        assert gateway.client.get(second).json()["status"] == "canceled"
        assert gateway.client.delete(second).status_code == 409
    assert gateway.poll(first).json()["status"] == "succeeded"
    assert gateway.predict([[0, 0]]).status_code == 200
    record = f"sepal:batch:{PredictionId.parse(canceled.json()['id']).batch_id}"
    assert not stack.redis.hexists(record, "token")
    assert stack.count("accepted") == stack.count("final")


def test_final_prediction_cannot_be_canceled(running: tuple[Stack, Gateway]) -> None:
    _, gateway = running
    location = f"/results/{gateway.predict([[0, 0]]).json()['id']}"
    response = gateway.client.delete(location)
    assert response.status_code == 409
    assert response.json()["code"] == "prediction-already-final"


def test_waiting_client_gets_409_when_its_prediction_is_canceled(running: tuple[Stack, Gateway], gates: Gates) -> None:
    stack, gateway = running
    known = set(stack.redis.scan_iter("sepal:batch:*"))
    with ThreadPoolExecutor(1) as threads, gates.closed(GATE):
        waiter = threads.submit(gateway.predict, [[1, GATE]])
        (key,) = wait_for(lambda: set(stack.redis.scan_iter("sepal:batch:*")) - known, "the batch record")
        batch_id = key.decode().removeprefix("sepal:batch:")
        secret = unpack_members(cast("bytes", stack.redis.hget(key, "members")))[0].secret
        assert gateway.client.delete(f"/results/{PredictionId(BatchId(batch_id), 0, secret)}").status_code == 200
        answer = waiter.result()
    assert answer.status_code == 409
    assert answer.json()["code"] == "prediction-canceled"


def test_spanning_prediction_shows_its_progress_and_can_be_canceled(
    running: tuple[Stack, Gateway], gates: Gates
) -> None:
    stack, gateway = running
    rows = [[1, 0]] * BATCH_ROWS + [[1, GATE]] * 3000

    def progress() -> Any:
        body = gateway.client.get(location).json()
        return body["rows"] if body["rows"]["done"] else None

    with gates.closed(GATE):
        location = gateway.predict(rows, prefer="respond-async").headers["Location"]
        shown = wait_for(progress, "some rows done")
        assert (shown["done"], shown["total"]) == (BATCH_ROWS, len(rows))
        assert gateway.client.delete(location).json()["status"] == "canceled"
    wait_for(lambda: stack.redis.llen("bulk") == 0, "an empty queue")
    assert gateway.predict([[0, 0]]).status_code == 200
    assert stack.count("accepted") == stack.count("final")


def test_single_row_does_not_wait_for_a_spanning_prediction(running: tuple[Stack, Gateway], gates: Gates) -> None:
    stack, gateway = running
    numbers = range(200, 209)  # a gate for each batch
    rows = [[1, number] for number in numbers for _ in range(BATCH_ROWS)]
    with ThreadPoolExecutor(1) as threads, gates.closed(*numbers):
        location = gateway.predict(rows, prefer="respond-async").headers["Location"]
        wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the first batch")
        before = stack.count("accepted")
        single = threads.submit(gateway.predict, [[0, 0]])
        wait_for(lambda: stack.count("accepted") > before, "the single row in its queue")
        gates.open(*numbers[:2])  # the running batch, and the one that the worker has taken already
        assert single.result().status_code == 200
        assert gateway.client.get(location).json()["rows"]["done"] <= 2 * BATCH_ROWS
        gateway.client.delete(location)
