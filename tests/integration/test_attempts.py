"""Attempts that come to nothing, on a real worker: what ends them, who takes over, and who is to blame."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests import pipelines
from tests.burst import predict_many
from tests.models import save_misbehaving
from tests.stack import ROOT, Gateway, Stack, clean_environment, pool_process, running_stack, wait_for

DIE, EAT = pipelines.Lethal.DIE, pipelines.Lethal.EAT
TOKEN = "let me in"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
MEMORY_BYTES = 4 * 1024**3


@pytest.fixture(scope="module")
def model_dir(models_dir: Path) -> Path:
    return save_misbehaving(models_dir, pipelines.Lethal())


@pytest.fixture(scope="module")
def lethal(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    settings: dict[str, Any] = {"operator_token": TOKEN, "worker_memory_bytes": MEMORY_BYTES, "max_attempts": 2}
    limits = {"batch_soft_seconds": 2, "batch_seconds": 4}
    with running_stack(tmp_path_factory.mktemp("lethal"), model_dir, **settings, **limits) as running:
        yield running


def submit(gateway: Gateway, rows: Any) -> str:
    return gateway.predict(rows, prefer="respond-async").headers["Location"]


def test_poison_fails_alone_and_its_batch_mates_are_answered(lethal: tuple[Stack, Gateway]) -> None:
    _, gateway = lethal
    submit(gateway, [[500, 0]])  # while it runs, the others gather

    async def together() -> list[tuple[int, Any]]:
        innocent = asyncio.create_task(predict_many(gateway.port, [[1, 0]], 10, "wait=60"))
        return [*await predict_many(gateway.port, [[1, DIE]], 1, "wait=60"), *await innocent]

    (status, problem), *innocents = asyncio.run(together())
    assert (status, problem["code"]) == (500, "poison")
    assert [(status, body["prediction"]) for status, body in innocents] == [(200, [1])] * 10


def test_dead_letter_is_kept_with_its_evidence_to_replay_or_discard(lethal: tuple[Stack, Gateway]) -> None:
    _, gateway = lethal
    failed = gateway.poll(submit(gateway, [[2, DIE]])).json()
    assert failed["error"]["code"] == "poison"

    letters = gateway.client.get("/dead-letters", headers=OPERATOR).json()["dead_letters"]
    letter = gateway.client.get(f"/dead-letters/{letters[0]['id']}", headers=OPERATOR).json()
    assert letter["prediction"] == failed["id"]
    assert letter["rows"] == [[2, DIE]]
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


def command(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What an operator's terminal shows."""
    environment = clean_environment(url=f"http://127.0.0.1:{gateway.port}", operator_token=TOKEN)
    line = [sys.executable, "-m", "client", "dead-letters", *arguments]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_dead_letters_are_managed_from_the_command_line(lethal: tuple[Stack, Gateway]) -> None:
    _, gateway = lethal
    gateway.poll(submit(gateway, [[3, DIE]]))
    letter_id = command(gateway, "list").stdout.split()[1]
    assert json.loads(command(gateway, "show", letter_id).stdout)["rows"] == [[3, DIE]]
    location = command(gateway, "replay", letter_id).stdout.strip()
    assert gateway.poll(location).json()["error"]["code"] == "poison"
    again_id = command(gateway, "list").stdout.split()[1]
    assert again_id != letter_id
    assert command(gateway, "discard", again_id).returncode == 0
    gone = command(gateway, "show", again_id)
    assert (gone.returncode, gone.stderr) == (1, "dead-letter-not-found: There is no dead letter with this id.\n")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer no"}])
def test_dead_letters_are_for_operators(lethal: tuple[Stack, Gateway], headers: dict[str, str]) -> None:
    _, gateway = lethal
    response = gateway.client.get("/dead-letters", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "operators-only")


def test_rows_that_want_too_much_memory_are_rejected_and_the_process_lives(lethal: tuple[Stack, Gateway]) -> None:
    stack, gateway = lethal
    process = pool_process(stack.part("worker"))
    problem = gateway.predict([[1, EAT]])
    assert (problem.status_code, problem.json()["code"]) == (422, "rows-rejected")
    assert "MemoryError" in problem.json()["detail"]
    assert process.is_running()


def test_batch_beyond_its_soft_limit_is_interrupted_and_the_process_lives(lethal: tuple[Stack, Gateway]) -> None:
    stack, gateway = lethal
    process = pool_process(stack.part("worker"))
    failed = gateway.poll(submit(gateway, [[60_000, 0]])).json()
    assert failed["error"]["code"] == "poison"
    assert process.is_running()
    latest = gateway.client.get("/dead-letters", headers=OPERATOR).json()["dead_letters"][0]["id"]
    attempts = gateway.client.get(f"/dead-letters/{latest}", headers=OPERATOR).json()["attempts"]
    assert all("SoftTimeLimitExceeded" in attempt["reason"] for attempt in attempts)


def test_batch_beyond_its_hard_limit_is_killed(lethal: tuple[Stack, Gateway]) -> None:
    stack, gateway = lethal
    location = submit(gateway, [[1900, 0]])
    wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the claim")
    pool_process(stack.part("worker")).suspend()  # no interruption reaches it
    assert gateway.poll(location).json()["prediction"] == [1]
    assert "TimeLimitExceeded" in stack.part("worker").log.read_text()


def test_running_batch_that_nobody_wants_is_stopped(lethal: tuple[Stack, Gateway]) -> None:
    stack, gateway = lethal
    gateway.predict([[1, 0]])
    location = submit(gateway, [[1950, 0]])
    wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the claim")
    process = pool_process(stack.part("worker"))
    process.suspend()  # it would never end by itself
    assert gateway.client.delete(location).json()["status"] == "canceled"
    wait_for(lambda: not process.is_running(), "the end of its process")
    assert gateway.predict([[1, 0]]).status_code == 200
    assert gateway.client.get(location).json()["status"] == "canceled"
    assert "nobody wants" in stack.part("worker").log.read_text()


def test_worker_that_was_stopped_for_longer_than_its_lease_commits_nothing(tmp_path: Path, model_dir: Path) -> None:
    with running_stack(tmp_path, model_dir) as (stack, gateway):
        frozen = stack.part("worker")
        location = submit(gateway, [[1000, 0]])
        wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the claim")
        processes = [frozen.process, *frozen.process.children()]
        for process in processes:
            process.suspend()
        stack.start_worker()
        result = gateway.poll(location).json()
        assert result["prediction"] == [1]
        for process in processes:
            process.resume()
        wait_for(lambda: "dropped an outcome" in frozen.log.read_text(), "a late commit")
        assert gateway.client.get(location).json() == result
        for _ in range(10):
            assert gateway.predict([[1, 0]]).status_code == 200


def test_worker_that_consumes_nothing_although_messages_wait_ends_itself(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir) as (stack, gateway):
        worker = stack.part("worker")
        Celery(broker=f"redis://127.0.0.1:{stack.redis_port}/0").control.cancel_consumer("interactive")
        wait_for(lambda: "Canceling queue interactive" in worker.log.read_text(), "a consumer that consumes no more")
        location = submit(gateway, [[4.8, 3, 1.4, 0.3]])
        assert worker.popen.wait(timeout=60) != 0
        stack.start_worker()
        assert gateway.poll(location).json()["prediction"] == [0]
