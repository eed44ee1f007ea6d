"""Predictions of different clients in one batch: separate results, separate failures, and bounded waits."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, Self, cast

import httpx

from shared.ids import BatchId, PredictionId
from shared.store.records import unpack_members
from tests import pipelines
from tests.gates import save_gated
from tests.integration.conftest import GatedStack
from tests.metrics import Metrics, wait_for_gathered
from tests.patience import patience
from tests.stack import Client, running_stack, wait_for

PIPELINE = pipelines.WaitsOrRejects
# Gates. One prediction occupies the only pool process at the first gate; later predictions gather.
FIRST, SECOND, THIRD = 101, 102, 103
OCCUPANT = [[1, FIRST]]


class OccupiedStack:
    """Sends requests while the only pool process is occupied."""

    def __init__(self, gated: GatedStack) -> None:
        self._stack, self._gateway, self._gates = gated
        url = f"http://127.0.0.1:{gated.gateway.port}"
        self._client = httpx.AsyncClient(base_url=url, timeout=patience(), verify=False)
        self._known = self.batches()
        self.occupant: asyncio.Task[httpx.Response]

    def batches(self) -> set[str]:
        return {key.decode().removeprefix("sepal:batch:") for key in self._stack.redis.scan_iter("sepal:batch:*")}

    async def __aenter__(self) -> Self:
        """Occupy the pool process until the first gate is opened."""
        self._gates.close(FIRST)
        self.occupant = self.predict(OCCUPANT)
        try:
            await asyncio.to_thread(wait_for, lambda: self.batches() - self._known, "the occupant's record")
        except BaseException:
            await self.__aexit__()
            raise
        self._known = self.batches()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gates.open(FIRST)
        await self.occupant
        await self._client.aclose()

    def predict(self, rows: Any) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(self._client.post("/predict", json={"data": rows}))

    async def wait_for_gathered(self, n_rows: int) -> None:
        await asyncio.to_thread(wait_for_gathered, self._gateway, n_rows)

    async def finish(self, tasks: "list[asyncio.Task[httpx.Response]]", n_rows: int) -> list[httpx.Response]:
        """Open the first gate once `n_rows` rows have gathered; return the responses."""
        await self.wait_for_gathered(n_rows)
        self._gates.open(FIRST)
        return await asyncio.gather(*tasks)

    async def gathered_batch(self) -> str:
        """Return the batch of the gathered predictions."""
        (batch_id,) = await asyncio.to_thread(wait_for, lambda: self.batches() - self._known, "the gathered batch")
        return batch_id


async def test_gathered_predictions_share_a_batch_and_get_separate_answers(gated: GatedStack) -> None:
    rows = [[[-1, number]] * (number % 3) + [[0.001, number]] for number in range(30)]
    async with OccupiedStack(gated) as occupied:
        responses = await occupied.finish([occupied.predict(each) for each in rows], n_rows=60)
    answers = [response.json() for response in responses]
    assert [answer["prediction"] for answer in answers] == [[0] * (number % 3) + [1] for number in range(30)]
    ids = [PredictionId.parse(answer["id"]) for answer in answers]
    assert Counter(prediction_id.batch_id for prediction_id in ids).most_common(1)[0][1] == 30
    assert len({prediction_id.secret for prediction_id in ids}) == 30


async def test_bad_row_fails_no_other_prediction_in_the_batch(gated: GatedStack) -> None:
    bad = {3, 4, 11}
    async with OccupiedStack(gated) as occupied:
        tasks = [occupied.predict([[7 if number in bad else 1, 0]]) for number in range(16)]
        responses = await occupied.finish(tasks, n_rows=16)
    assert {number for number, response in enumerate(responses) if response.status_code == 422} == bad
    for number, response in enumerate(responses):
        body = response.json()
        assert body["code"] == "rows-rejected" if number in bad else body["prediction"] == [1]


async def test_canceled_prediction_does_not_cancel_others_in_the_batch(gated: GatedStack) -> None:
    stack, gateway, gates = gated
    async with OccupiedStack(gated) as occupied:
        with gates.closed(SECOND):
            tasks = [occupied.predict([[1, SECOND]]) for _ in range(5)]
            await occupied.wait_for_gathered(5)
            gates.open(FIRST)
            batch_id = BatchId(await occupied.gathered_batch())
            members = unpack_members(cast("bytes", stack.redis.hget(f"sepal:batch:{batch_id}", "members")))
            assert len(members) == 5
            canceled = PredictionId(batch_id, 2, members[2].secret)
            assert (await asyncio.to_thread(gateway.client.delete, f"/results/{canceled}")).status_code == 200
        responses = await asyncio.gather(*tasks)
    assert sorted(response.status_code for response in responses) == [200, 200, 200, 200, 409]
    (refused,) = (response.json() for response in responses if response.status_code == 409)
    assert refused["code"] == "prediction-canceled"
    assert refused["id"] == str(canceled)


async def test_single_row_waits_for_at_most_one_large_batch(gated: GatedStack) -> None:
    with gated.gates.closed(SECOND, THIRD):
        async with OccupiedStack(gated) as occupied:
            large = []
            for number, gate in enumerate((SECOND, THIRD), 1):
                large.append(occupied.predict([[1, gate]] * 1000))
                await occupied.wait_for_gathered(number * 1000)
            single = occupied.predict([[1, 0]])
            await occupied.wait_for_gathered(2001)
            gated.gates.open(FIRST, SECOND)
            assert (await asyncio.wait_for(single, patience())).status_code == 200
            gated.gates.open(THIRD)
            await asyncio.gather(*large)


async def test_answered_batches_leave_no_message(gated: GatedStack) -> None:
    stack, gateway, _ = gated
    assert gateway.predict([[0, 0]]).status_code == 200
    wait_for(
        lambda: not list(stack.redis.scan_iter("sepal:unacked*")) and not stack.redis.exists("interactive"),
        "the last acknowledgement",
    )


async def test_respond_async_does_not_wait_for_a_worker(gated: GatedStack) -> None:
    async with OccupiedStack(gated) as occupied:
        gathered = occupied.predict([[0, 0]])
        response = await asyncio.to_thread(gated.gateway.predict, [[0, 0]], "respond-async")
        assert response.status_code == 202
        assert not occupied.occupant.done()
        gated.gates.open(FIRST)
        await gathered


async def test_wait_that_ends_before_the_batch_has_left_is_answered_202(gated: GatedStack) -> None:
    async with OccupiedStack(gated) as occupied:
        response = await asyncio.to_thread(gated.gateway.predict, [[0, 5]], "wait=1")
        assert response.status_code == 202
        assert not occupied.occupant.done()
    final = await asyncio.to_thread(gated.gateway.poll, response.headers["Location"])
    assert final.json()["prediction"] == [0]


def test_two_pool_processes_run_two_batches_at_once(tmp_path: Path) -> None:
    model_dir, gates = save_gated(tmp_path)
    with running_stack(tmp_path, model_dir, "tests.patient", worker_processes=2) as (stack, gateway):
        # The gateway refreshes its status once a second: at first it may count one process.
        name, queue = "pool_processes", "interactive"
        wait_for(lambda: Metrics(gateway.port).value(name, queue=queue) == 2, "a gateway that counts two")

        def running() -> int:
            keys = list(stack.redis.scan_iter("sepal:batch:*"))
            return sum(stack.redis.hget(key, "state") == b"running" for key in keys)

        async def both_run() -> None:
            async with OccupiedStack(GatedStack(stack, gateway, gates)) as occupied:
                second = occupied.predict(OCCUPANT)
                await asyncio.to_thread(wait_for, lambda: running() == 2, "two batches at once")
                gates.open(FIRST)
                await second

        asyncio.run(both_run())


def test_gateway_processes_share_a_port_and_answer_alike(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir) as (stack, _):
        gateway = stack.start_gateway(api_processes=3).wait_until_ready()
        wait_for(lambda: len(stack.redis.pubsub_channels("sepal:reply:*")) == 4, "the reply channel of every process")
        rows = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]
        for _ in range(30):
            with Client(gateway.port).client as client:  # a new connection
                answer = client.post("/predict", json={"data": rows}).json()
                assert answer["prediction"] == [0, 1]
                assert gateway.client.get(f"/results/{answer['id']}").json()["prediction"] == [0, 1]
