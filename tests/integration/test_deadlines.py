"""`Sepal-Deadline`: a prediction expires at its deadline, and the pipeline does not run its rows."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.ids import PredictionId
from tests.integration.conftest import GatedStack
from tests.metrics import Metrics, wait_for_gathered
from tests.patience import patience
from tests.stack import Gateway, running_stack, wait_for

SOON, LATER = "2", f"{patience():.0f}"  # seconds: one passes while a gate is closed, the other does not pass
GATE, ALWAYS_CLOSED = 100, 101
BATCH_ROWS = 1024
N_BATCHES = 9


def predict(gateway: Gateway, rows: Any, deadline: str, prefer: str = "wait=30") -> httpx.Response:
    return gateway.client.post("/predict", json={"data": rows}, headers={"Sepal-Deadline": deadline, "Prefer": prefer})


def test_answer_before_the_deadline_is_returned(gated: GatedStack) -> None:
    assert predict(gated.gateway, [[1, 0]], LATER).json()["prediction"] == [1]
    assert predict(gated.gateway, [[0, 0]] * 3000, LATER).json()["prediction"] == [0] * 3000


@pytest.mark.parametrize("deadline", ["", "0", "-1", "soon", "1e9", "1.2345678", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_deadline_that_is_not_a_number_of_seconds_is_refused(gated: GatedStack, deadline: str) -> None:
    stack, gateway, _ = gated
    before = stack.count("accepted")
    response = predict(gateway, [[1, 0]], deadline)
    assert (response.status_code, response.json()["code"]) == (400, "invalid-deadline")
    assert stack.count("accepted") == before


@pytest.mark.parametrize("n_rows", [1, 2000])
def test_answer_after_the_deadline_is_never_returned(gated: GatedStack, n_rows: int) -> None:
    gateway = gated.gateway
    with gated.gates.closed(GATE):
        response = predict(gateway, [[1, GATE]] * n_rows, SOON)
    assert (response.status_code, response.json()["code"]) == (504, "prediction-expired")
    location = f"/results/{response.json()['id']}"
    assert gateway.client.get(location).json()["status"] == "expired"
    assert gateway.predict([[0, 0]]).status_code == 200  # the expired batch has ended
    assert gateway.client.get(location).json()["status"] == "expired"
    assert gateway.client.delete(location).status_code == 409


async def test_expired_members_of_a_batch_are_not_predicted_and_the_others_are_answered(gated: GatedStack) -> None:
    stack, gateway, gates = gated
    before = stack.count("accepted")
    async with httpx.AsyncClient(base_url=gateway.client.base_url, timeout=patience(), verify=False) as client:

        async def post(row: list[float], **headers: str) -> httpx.Response:
            return await client.post("/predict", json={"data": [row]}, headers=headers)

        with gates.closed(ALWAYS_CLOSED):
            with gates.closed(GATE):
                occupant = asyncio.create_task(post([1, GATE]))
                # From then on, later predictions gather.
                await asyncio.to_thread(wait_for, lambda: stack.count("accepted") == before + 1, "the occupant")
                others = [asyncio.create_task(post([0, 0])) for _ in range(3)]
                await asyncio.to_thread(wait_for_gathered, gateway, 3)
                expired = await post([1, ALWAYS_CLOSED], **{"Sepal-Deadline": SOON})
            answers = [await other for other in others]  # while the expired row's gate is closed: the row was omitted
        await occupant
    assert expired.json()["code"] == "prediction-expired"
    assert [answer.json()["prediction"] for answer in answers] == [[0]] * 3
    batch_ids = {PredictionId.parse(answer.json()["id"]).batch_id for answer in [expired, *answers]}
    assert len(batch_ids) == 1


def test_deadline_passes_without_a_worker(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir) as (stack, gateway):
        stack.part("worker").stop()
        location = predict(gateway, [[4.8, 3, 1.4, 0.3]], SOON, "respond-async").headers["Location"]
        assert gateway.poll(location).json()["status"] == "expired"
        stack.start_worker()
        wait_for(lambda: stack.count("final") == stack.count("accepted"), "an empty backlog")
        assert gateway.client.get(location).json()["status"] == "expired"


def test_deadline_that_the_backlog_exceeds_is_refused_and_nothing_is_accepted(gated: GatedStack) -> None:
    stack, gateway, gates = gated
    numbers = range(200, 200 + N_BATCHES)  # a gate for each batch
    rows = [[0, number] for number in numbers for _ in range(BATCH_ROWS)]

    def backlog() -> float:
        return Metrics(gateway.port).value("backlog_rows", queue="bulk")

    def refused() -> httpx.Response | None:
        before = stack.count("accepted")
        response = predict(gateway, [[0, 0]] * 2000, "0.5", "respond-async")
        if response.status_code != 503:
            return None
        assert stack.count("accepted") == before
        return response

    with gates.closed(*numbers):
        gateway.predict(rows, prefer="respond-async")
        wait_for(lambda: backlog() >= len(rows), "the backlog in the metrics")
        gates.open(*numbers[:3])
        response = wait_for(refused, "a measured drain rate")
    assert response.json()["code"] == "deadline-unreachable"
    assert int(response.headers["Retry-After"]) >= 1
    assert predict(gateway, [[0, 0]], LATER).status_code == 200  # the interactive queue goes first
    wait_for(lambda: stack.count("final") == stack.count("accepted"), "an empty backlog")
