"""`Sepal-Deadline`: what is past it is expired, whoever looks, and the model is not touched."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.ids import PredictionId
from tests import pipelines
from tests.models import save_misbehaving
from tests.stack import Gateway, Stack, running_stack, wait_for


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    model_dir = save_misbehaving(models_dir, pipelines.SleepsAsTold())
    with running_stack(tmp_path_factory.mktemp("slow"), model_dir) as running:
        yield running


def predict(gateway: Gateway, rows: Any, deadline: str, prefer: str = "wait=30") -> httpx.Response:
    return gateway.client.post("/predict", json={"data": rows}, headers={"Sepal-Deadline": deadline, "Prefer": prefer})


def test_answer_within_its_deadline_is_given(slow: tuple[Stack, Gateway]) -> None:
    _, gateway = slow
    assert predict(gateway, [[1, 0]], "5").json()["prediction"] == [1]
    assert predict(gateway, [[0, 0]] * 3000, "20").json()["prediction"] == [0] * 3000


@pytest.mark.parametrize("deadline", ["", "0", "-1", "soon", "1e9", "1.2345678", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_deadline_that_is_no_number_of_seconds_is_refused(slow: tuple[Stack, Gateway], deadline: str) -> None:
    stack, gateway = slow
    before = stack.count("accepted")
    response = predict(gateway, [[1, 0]], deadline)
    assert (response.status_code, response.json()["code"]) == (400, "invalid-deadline")
    assert stack.count("accepted") == before


@pytest.mark.parametrize("n_rows", [1, 2000])
def test_answer_after_the_deadline_is_never_given(slow: tuple[Stack, Gateway], n_rows: int) -> None:
    _, gateway = slow
    response = predict(gateway, [[700, 0]] * n_rows, "0.3")
    assert (response.status_code, response.json()["code"]) == (504, "prediction-expired")
    location = f"/results/{response.json()['id']}"
    assert gateway.client.get(location).json()["status"] == "expired"
    assert gateway.predict([[0, 0]]).status_code == 200  # whatever ran has ended
    assert gateway.client.get(location).json()["status"] == "expired"
    assert gateway.client.delete(location).status_code == 409


async def test_expired_members_of_a_batch_leave_the_model_alone_and_their_mates_are_answered(
    slow: tuple[Stack, Gateway],
) -> None:
    stack, gateway = slow
    before = stack.count("accepted")
    async with httpx.AsyncClient(base_url=gateway.client.base_url, timeout=60) as client:

        async def post(row: list[float], **headers: str) -> httpx.Response:
            return await client.post("/predict", json={"data": [row]}, headers=headers)

        occupant = asyncio.create_task(post([900, 0]))
        # Once it is on its way, the others gather behind it.
        await asyncio.to_thread(wait_for, lambda: stack.count("accepted") == before + 1, "the occupant")
        late = asyncio.create_task(post([5000, 0], **{"Sepal-Deadline": "0.4"}))
        mates = [asyncio.create_task(post([0, 0])) for _ in range(3)]
        await occupant
        expired = await late
        assert expired.json()["code"] == "prediction-expired"
        answers = [await mate for mate in mates]
        assert [answer.json()["prediction"] for answer in answers] == [[0]] * 3
        batch_ids = {PredictionId.parse(answer.json()["id"]).batch_id for answer in [expired, *answers]}
        assert len(batch_ids) == 1
        predict_ms = float(answers[0].headers["Server-Timing"].rpartition("=")[2])
        assert predict_ms < 5000  # the row that would have slept for so long was left out


def test_deadline_passes_without_any_worker(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir) as (stack, gateway):
        stack.part("worker").stop()
        location = predict(gateway, [[4.8, 3, 1.4, 0.3]], "1", "respond-async").headers["Location"]
        assert gateway.client.get(location).status_code == 202
        assert gateway.poll(location).json()["status"] == "expired"
        stack.start_worker()
        wait_for(lambda: stack.count("final") == stack.count("accepted"), "an empty backlog")
        assert gateway.client.get(location).json()["status"] == "expired"


def test_deadline_that_the_backlog_does_not_allow_is_refused_before_anything_is_written(
    slow: tuple[Stack, Gateway],
) -> None:
    stack, gateway = slow
    gateway.predict([[300, 0]] * 10_000, prefer="respond-async")  # ten batches of 300 ms

    def refused() -> httpx.Response | None:
        before = stack.count("accepted")
        response = predict(gateway, [[0, 0]] * 2000, "0.5", "respond-async")
        if response.status_code != 503:
            return None
        assert stack.count("accepted") == before
        return response

    response = wait_for(refused, "a measured drain")
    assert response.json()["code"] == "deadline-unreachable"
    assert int(response.headers["Retry-After"]) >= 1
    assert predict(gateway, [[0, 0]], "20").status_code == 200  # the interactive queue goes first
    wait_for(lambda: stack.count("final") == stack.count("accepted"), "an empty backlog")
