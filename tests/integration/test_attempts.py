"""Attempts that end without an outcome, on a real worker: limits, crashes, dead letters and lost leases."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sepal_client import DeadLetterNotFound, PredictionFailed, Sepal
from tests import pipelines
from tests.burst import predict_many
from tests.gates import Gates
from tests.metrics import wait_for_gathered
from tests.remote import celery_app
from tests.stack import Gateway, Stack, pool_process, running_stack, wait_for

PIPELINE = pipelines.Lethal
KILL, ALLOCATE, STOP = PIPELINE.KILL, PIPELINE.ALLOCATE, PIPELINE.STOP
GATE = 100
TOKEN = "let me in"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
SETTINGS: dict[str, Any] = {"operator_token": TOKEN, "worker_memory_bytes": 4 * 1024**3, "max_attempts": 2}


@pytest.fixture(scope="module")
def lethal(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    with running_stack(tmp_path_factory.mktemp("lethal"), model_dir, "tests.patient", **SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    """A stack with short time limits."""
    limits: dict[str, Any] = {"batch_soft_seconds": 2, "batch_seconds": 20}
    with running_stack(tmp_path_factory.mktemp("limited"), model_dir, **SETTINGS, **limits) as running:
        yield running


def submit(gateway: Gateway, rows: Any) -> str:
    return gateway.predict(rows, prefer="respond-async").headers["Location"]


def wait_until_running(gateway: Gateway, location: str) -> None:
    wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the claim")


def test_poison_fails_and_others_in_its_batch_are_answered(lethal: tuple[Stack, Gateway], gates: Gates) -> None:
    stack, gateway = lethal
    before = stack.count("accepted")

    async def together() -> list[tuple[int, Any]]:
        with gates.closed(GATE):
            occupant = asyncio.create_task(predict_many(gateway.port, [[1, GATE]], 1, "wait=60"))
            await asyncio.to_thread(wait_for, lambda: stack.count("accepted") > before, "the occupant")
            others = asyncio.create_task(predict_many(gateway.port, [[1, 0]], 10, "wait=60"))
            poison = asyncio.create_task(predict_many(gateway.port, [[1, KILL]], 1, "wait=60"))
            await asyncio.to_thread(wait_for_gathered, gateway, 11)
        await occupant
        return [*await poison, *await others]

    (status, problem), *others = asyncio.run(together())
    assert (status, problem["code"]) == (500, "poison")
    assert [(status, body["prediction"]) for status, body in others] == [(200, [1])] * 10


def test_dead_letter_has_its_rows_and_attempts_and_can_be_replayed_or_discarded(lethal: tuple[Stack, Gateway]) -> None:
    _, gateway = lethal
    failed = gateway.poll(submit(gateway, [[2, KILL]])).json()
    assert failed["error"]["code"] == "poison"

    letters = gateway.client.get("/dead-letters", headers=OPERATOR).json()["dead_letters"]
    letter = gateway.client.get(f"/dead-letters/{letters[0]['id']}", headers=OPERATOR).json()
    assert letter["prediction"] == failed["id"]
    assert letter["rows"] == [[2, KILL]]
    assert letter["model"]["name"] == "lethal"
    assert len(letter["attempts"]) == 2
    assert all("WorkerLostError" in attempt["reason"] for attempt in letter["attempts"])

    replayed = gateway.client.post(f"/dead-letters/{letter['id']}/replay", headers=OPERATOR)
    assert replayed.status_code == 202
    assert gateway.client.get(f"/dead-letters/{letter['id']}", headers=OPERATOR).status_code == 404
    again = gateway.poll(replayed.headers["Location"]).json()
    assert again["error"]["code"] == "poison"
    assert again["id"] != failed["id"]
    latest = gateway.client.get("/dead-letters", headers=OPERATOR).json()["dead_letters"][0]["id"]
    assert gateway.client.delete(f"/dead-letters/{latest}", headers=OPERATOR).status_code == 204
    assert gateway.client.delete(f"/dead-letters/{latest}", headers=OPERATOR).status_code == 404


def test_dead_letters_are_managed_with_the_client(lethal: tuple[Stack, Gateway]) -> None:
    _, gateway = lethal
    gateway.poll(submit(gateway, [[3, KILL]]))
    with Sepal(f"http://127.0.0.1:{gateway.port}", operator_token=TOKEN) as sepal:
        letter = next(iter(sepal.dead_letters.entries()))
        assert sepal.dead_letters.show(letter.id)["rows"] == [[3, KILL]]
        replayed = sepal.dead_letters.replay(letter.id)
        with pytest.raises(PredictionFailed, match="poison"):
            replayed.wait()
        again = next(iter(sepal.dead_letters.entries()))
        assert again.id != letter.id
        assert again.dead_since >= letter.dead_since
        sepal.dead_letters.discard(again.id)
        with pytest.raises(DeadLetterNotFound, match="There is no dead letter with this id"):
            sepal.dead_letters.show(again.id)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer no"}])
def test_dead_letters_require_the_operator_token(lethal: tuple[Stack, Gateway], headers: dict[str, str]) -> None:
    _, gateway = lethal
    response = gateway.client.get("/dead-letters", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "operators-only")


def test_rows_that_need_too_much_memory_are_rejected_and_the_process_goes_on(lethal: tuple[Stack, Gateway]) -> None:
    stack, gateway = lethal
    process = pool_process(stack.part("worker"))
    problem = gateway.predict([[1, ALLOCATE]])
    assert (problem.status_code, problem.json()["code"]) == (422, "rows-rejected")
    assert "allocate" in problem.json()["detail"]
    assert process.is_running()


def test_batch_beyond_the_soft_limit_is_interrupted_and_the_process_goes_on(
    limited: tuple[Stack, Gateway], gates: Gates
) -> None:
    stack, gateway = limited
    process = pool_process(stack.part("worker"))
    with gates.closed(GATE):
        failed = gateway.poll(submit(gateway, [[1, GATE]])).json()
    assert failed["error"]["code"] == "poison"
    assert process.is_running()
    latest = gateway.client.get("/dead-letters", headers=OPERATOR).json()["dead_letters"][0]["id"]
    attempts = gateway.client.get(f"/dead-letters/{latest}", headers=OPERATOR).json()["attempts"]
    assert all("SoftTimeLimitExceeded" in attempt["reason"] for attempt in attempts)


def test_process_of_a_batch_beyond_the_hard_limit_is_killed(limited: tuple[Stack, Gateway], gates: Gates) -> None:
    stack, gateway = limited
    with gates.closed(STOP):
        location = submit(gateway, [[1, STOP]])  # the stopped process cannot be interrupted
        assert gateway.poll(location).json()["prediction"] == [1]
    assert "TimeLimitExceeded" in stack.part("worker").log.read_text()


def test_running_batch_is_stopped_when_it_is_canceled(lethal: tuple[Stack, Gateway], gates: Gates) -> None:
    stack, gateway = lethal
    gateway.predict([[1, 0]])
    process = pool_process(stack.part("worker"))
    with gates.closed(STOP):
        location = submit(gateway, [[1, STOP]])
        wait_for(lambda: process.status() == psutil.STATUS_STOPPED, "a stopped process")
    assert gateway.client.delete(location).json()["status"] == "canceled"
    wait_for(lambda: not process.is_running(), "the end of its process")
    assert gateway.predict([[1, 0]]).status_code == 200
    assert gateway.client.get(location).json()["status"] == "canceled"
    assert "killed the pool process of a canceled batch" in stack.part("worker").log.read_text()


def test_worker_that_was_stopped_beyond_its_lease_commits_nothing(
    tmp_path: Path, model_dir: Path, gates: Gates
) -> None:
    with running_stack(tmp_path, model_dir) as (stack, gateway):
        frozen = stack.part("worker")
        with gates.closed(GATE):
            location = submit(gateway, [[1, GATE]])
            wait_until_running(gateway, location)
            # Before the stop: a worker that is stopped for half a minute ends itself.
            stack.start_worker()
            wait_for(lambda: stack.redis.hlen("sepal:workers") == 2, "another worker")
            processes = [frozen.process, *frozen.process.children()]
            for process in processes:
                process.suspend()
            (key,) = stack.redis.scan_iter("sepal:batch:*")
            wait_for(lambda: stack.redis.hget(key, "token") == b"2", "the other worker's claim")
        result = gateway.poll(location).json()
        assert result["prediction"] == [1]
        for process in processes:
            process.resume()
        wait_for(lambda: "dropped an outcome" in frozen.log.read_text(), "a late commit")
        assert gateway.client.get(location).json() == result
        for _ in range(10):
            assert gateway.predict([[1, 0]]).status_code == 200


def test_worker_that_consumes_no_message_while_messages_wait_ends_itself(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir) as (stack, gateway):
        worker = stack.part("worker")
        wait_for(stack.redis.pubsub_numpat, "the worker's subscription to broadcasts")
        with celery_app(f"redis://127.0.0.1:{stack.redis_port}/0") as app:
            app.control.cancel_consumer("interactive")
        wait_for(lambda: "Canceling queue interactive" in worker.log.read_text(), "the end of the consumer")
        location = submit(gateway, [[4.8, 3, 1.4, 0.3]])
        assert worker.wait() != 0
        stack.start_worker()
        assert gateway.poll(location).json()["prediction"] == [0]
