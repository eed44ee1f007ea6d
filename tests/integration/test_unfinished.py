"""Predictions that are not final yet: waiting, progress, canceling; on one worker that sleeps as long as rows say."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from shared.ids import BatchId, PredictionId
from shared.store.records import unpack_members
from tests import pipelines
from tests.models import save_misbehaving
from tests.stack import Gateway, Stack, running_stack, wait_for


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    model_dir = save_misbehaving(models_dir, pipelines.SleepsAsTold())
    with running_stack(tmp_path_factory.mktemp("slow"), model_dir) as running:
        yield running


def test_wait_that_is_over_answers_202_and_changes_nothing_else(slow: tuple[Stack, Gateway]) -> None:
    _, gateway = slow
    response = gateway.predict([[1500, 0]], prefer="wait=1")
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=1"
    assert response.json()["status"] == "running"
    assert gateway.poll(response.headers["Location"]).json()["prediction"] == [1]


def test_state_is_running_once_a_worker_has_it(slow: tuple[Stack, Gateway]) -> None:
    _, gateway = slow
    location = gateway.predict([[1000, 0]], prefer="respond-async").headers["Location"]

    def running() -> bool:
        return bool(gateway.client.get(location).json()["status"] == "running")

    wait_for(running, "the state running")
    assert gateway.poll(location).json()["status"] == "succeeded"


def test_canceled_prediction_is_final_and_never_run(slow: tuple[Stack, Gateway]) -> None:
    stack, gateway = slow
    first = gateway.predict([[1000, 0]], prefer="respond-async").headers["Location"]
    second = gateway.predict([[5000, 0]], prefer="respond-async").headers["Location"]
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


def test_final_prediction_cannot_be_canceled(slow: tuple[Stack, Gateway]) -> None:
    _, gateway = slow
    location = f"/results/{gateway.predict([[0, 0]]).json()['id']}"
    response = gateway.client.delete(location)
    assert response.status_code == 409
    assert response.json()["code"] == "prediction-already-final"


def test_waiting_client_learns_that_its_prediction_was_canceled(slow: tuple[Stack, Gateway]) -> None:
    stack, gateway = slow
    known = set(stack.redis.scan_iter("sepal:batch:*"))
    answers: list[Any] = []
    client = threading.Thread(target=lambda: answers.append(gateway.predict([[3000, 0]])))
    client.start()
    (key,) = wait_for(lambda: set(stack.redis.scan_iter("sepal:batch:*")) - known, "the batch record")
    batch_id = key.decode().removeprefix("sepal:batch:")
    secret = unpack_members(cast("bytes", stack.redis.hget(key, "members")))[0].secret
    assert gateway.client.delete(f"/results/{PredictionId(BatchId(batch_id), 0, secret)}").status_code == 200
    client.join(timeout=10)
    assert answers[0].status_code == 409
    assert answers[0].json()["code"] == "prediction-canceled"


def test_large_prediction_shows_how_far_it_is_and_can_be_canceled(slow: tuple[Stack, Gateway]) -> None:
    stack, gateway = slow
    rows = [[300, 0]] * 5000
    location = gateway.predict(rows, prefer="respond-async").headers["Location"]

    def progress() -> Any:
        body = gateway.client.get(location).json()
        return body["rows"] if 0 < body["rows"]["done"] < body["rows"]["total"] else None

    assert wait_for(progress, "some rows done")["total"] == 5000
    assert gateway.client.delete(location).json()["status"] == "canceled"
    wait_for(lambda: stack.redis.llen("bulk") == 0, "an empty queue")
    assert gateway.predict([[0, 0]]).status_code == 200
    assert stack.count("accepted") == stack.count("final")


def test_person_does_not_wait_behind_a_large_prediction(slow: tuple[Stack, Gateway]) -> None:
    _, gateway = slow
    location = gateway.predict([[400, 0]] * 9000, prefer="respond-async").headers["Location"]
    assert gateway.predict([[0, 0]]).status_code == 200
    body = gateway.client.get(location)
    assert body.status_code == 202
    assert body.json()["rows"]["done"] < 9000
    gateway.client.delete(location)
