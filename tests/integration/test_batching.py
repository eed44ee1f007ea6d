"""Predictions of different clients in one batch: none sees another, and none waits for more than its turn."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import httpx
import pytest

from shared.ids import BatchId, PredictionId
from shared.store.records import unpack_members
from tests import pipelines
from tests.gates import Gates, save_gated
from tests.metrics import Metrics, wait_for_gathered
from tests.patience import patience
from tests.stack import Client, Gateway, Stack, running_stack, wait_for

# Gates. The occupant of the only pool process waits at the first one, and what arrives meanwhile gathers.
FIRST, SECOND, THIRD = 101, 102, 103
OCCUPANT = [[1, FIRST]]


class Site(NamedTuple):
    """A stack with one pool process, and the gates of its pipeline."""

    stack: Stack
    gateway: Gateway
    gates: Gates


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("batching")
    model_dir, gates = save_gated(folder, pipelines.WaitsOrRejects)
    with running_stack(folder, model_dir, "tests.patient") as (stack, gateway):
        yield Site(stack, gateway, gates)


class Crowd:
    """Requests that are made while a batch is under way."""

    def __init__(self, site: Site) -> None:
        self._stack, self._gateway, self._gates = site
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.gateway.port}", timeout=patience())
        self._known = self.batches()
        self.occupant: asyncio.Task[httpx.Response]

    def batches(self) -> set[str]:
        return {key.decode().removeprefix("sepal:batch:") for key in self._stack.redis.scan_iter("sepal:batch:*")}

    async def __aenter__(self) -> Self:
        """Take the pool process, until the first gate is opened."""
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

    async def leave_together(self, tasks: "list[asyncio.Task[httpx.Response]]", n_rows: int) -> list[httpx.Response]:
        """Open the gate once all have gathered."""
        await self.wait_for_gathered(n_rows)
        self._gates.open(FIRST)
        return await asyncio.gather(*tasks)

    async def gathered(self) -> str:
        """The batch in which all others left."""
        (batch_id,) = await asyncio.to_thread(wait_for, lambda: self.batches() - self._known, "the gathered batch")
        return batch_id


async def test_gathered_predictions_share_a_batch_and_get_their_own_answers(slow: Site) -> None:
    rows = [[[-1, number]] * (number % 3) + [[0.001, number]] for number in range(30)]
    async with Crowd(slow) as crowd:
        responses = await crowd.leave_together([crowd.predict(own) for own in rows], n_rows=60)
    answers = [response.json() for response in responses]
    assert [answer["prediction"] for answer in answers] == [[0] * (number % 3) + [1] for number in range(30)]
    ids = [PredictionId.parse(answer["id"]) for answer in answers]
    assert Counter(prediction_id.batch_id for prediction_id in ids).most_common(1)[0][1] == 30
    assert len({prediction_id.secret for prediction_id in ids}) == 30


async def test_bad_row_fails_its_own_client_and_no_other_in_the_batch(slow: Site) -> None:
    bad = {3, 4, 11}
    async with Crowd(slow) as crowd:
        tasks = [crowd.predict([[7 if number in bad else 1, 0]]) for number in range(16)]
        responses = await crowd.leave_together(tasks, n_rows=16)
    assert {number for number, response in enumerate(responses) if response.status_code == 422} == bad
    for number, response in enumerate(responses):
        body = response.json()
        assert body["code"] == "rows-rejected" if number in bad else body["prediction"] == [1]


async def test_canceled_prediction_takes_nobody_in_its_batch_along(slow: Site) -> None:
    stack, gateway, gates = slow
    async with Crowd(slow) as crowd:
        with gates.closed(SECOND):
            tasks = [crowd.predict([[1, SECOND]]) for _ in range(5)]
            await crowd.wait_for_gathered(5)
            gates.open(FIRST)
            batch_id = BatchId(await crowd.gathered())
            members = unpack_members(cast("bytes", stack.redis.hget(f"sepal:batch:{batch_id}", "members")))
            assert len(members) == 5
            canceled = PredictionId(batch_id, 2, members[2].secret)
            assert (await asyncio.to_thread(gateway.client.delete, f"/results/{canceled}")).status_code == 200
        responses = await asyncio.gather(*tasks)
    assert sorted(response.status_code for response in responses) == [200, 200, 200, 200, 409]
    (refused,) = (response.json() for response in responses if response.status_code == 409)
    assert refused["code"] == "prediction-canceled"
    assert refused["id"] == str(canceled)


async def test_single_row_waits_for_no_more_than_one_large_batch(slow: Site) -> None:
    with slow.gates.closed(SECOND, THIRD):
        async with Crowd(slow) as crowd:
            large = []
            for number, gate in enumerate((SECOND, THIRD), 1):
                large.append(crowd.predict([[1, gate]] * 1000))
                await crowd.wait_for_gathered(number * 1000)
            single = crowd.predict([[1, 0]])
            await crowd.wait_for_gathered(2001)
            slow.gates.open(FIRST, SECOND)
            assert (await asyncio.wait_for(single, patience())).status_code == 200
            slow.gates.open(THIRD)
            await asyncio.gather(*large)


async def test_answered_batches_leave_no_message_behind(slow: Site) -> None:
    stack, gateway, _ = slow
    assert gateway.predict([[0, 0]]).status_code == 200
    wait_for(
        lambda: not list(stack.redis.scan_iter("sepal:unacked*")) and not stack.redis.exists("interactive"),
        "the last acknowledgement",
    )


async def test_client_that_wants_an_id_waits_for_no_worker(slow: Site) -> None:
    async with Crowd(slow) as crowd:
        gathered = crowd.predict([[0, 0]])
        response = await asyncio.to_thread(slow.gateway.predict, [[0, 0]], "respond-async")
        assert response.status_code == 202
        assert not crowd.occupant.done()
        slow.gates.open(FIRST)
        await gathered


async def test_wait_that_ends_before_the_batch_could_leave_is_a_202(slow: Site) -> None:
    async with Crowd(slow) as crowd:
        response = await asyncio.to_thread(slow.gateway.predict, [[0, 5]], "wait=1")
        assert response.status_code == 202
        assert not crowd.occupant.done()
    final = await asyncio.to_thread(slow.gateway.poll, response.headers["Location"])
    assert final.json()["prediction"] == [0]


def test_two_pool_processes_run_two_batches_at_once(tmp_path: Path) -> None:
    model_dir, gates = save_gated(tmp_path)
    with running_stack(tmp_path, model_dir, "tests.patient", worker_processes=2) as (stack, gateway):
        # The gateway looks at the workers once a second: at first it may not know of the second process.
        wait_for(lambda: Metrics(gateway.port).value("pool_processes") == 2, "a gateway that knows of two")

        def running() -> int:
            keys = list(stack.redis.scan_iter("sepal:batch:*"))
            return sum(stack.redis.hget(key, "state") == b"running" for key in keys)

        async def both_run() -> None:
            async with Crowd(Site(stack, gateway, gates)) as crowd:
                second = crowd.predict(OCCUPANT)
                await asyncio.to_thread(wait_for, lambda: running() == 2, "two batches at once")
                gates.open(FIRST)
                await second

        asyncio.run(both_run())


def test_several_gateway_processes_share_a_port_and_answer_alike(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir) as (stack, _):
        gateway = stack.start_gateway(api_processes=3).wait_until_ready()
        wait_for(lambda: len(stack.redis.pubsub_channels("sepal:reply:*")) == 4, "every process's own channel")
        rows = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]
        for _ in range(30):
            with Client(gateway.port).client as client:  # a connection of its own
                answer = client.post("/predict", json={"data": rows}).json()
                assert answer["prediction"] == [0, 1]
                assert gateway.client.get(f"/results/{answer['id']}").json()["prediction"] == [0, 1]
