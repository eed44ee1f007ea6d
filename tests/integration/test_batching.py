"""Predictions of different clients in one batch: none sees another, and none waits for more than its turn."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from shared.ids import BatchId, PredictionId
from shared.store.records import unpack_members
from tests import pipelines
from tests.models import save_misbehaving
from tests.stack import Gateway, Stack, running_stack, wait_for

OCCUPANT = [[600, 0]]  # for so many milliseconds the only pool process is taken, and what arrives gathers


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    model_dir = save_misbehaving(models_dir, pipelines.SleepsOrRejects())
    with running_stack(tmp_path_factory.mktemp("batching"), model_dir) as running:
        yield running


class Crowd:
    """Requests that are made while a batch is under way, in the order of the calls."""

    def __init__(self, stack: Stack, gateway: Gateway) -> None:
        self._stack = stack
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", timeout=60)
        self._known = self.batches()
        self.finished: list[str] = []

    def batches(self) -> set[str]:
        return {key.decode().removeprefix("sepal:batch:") for key in self._stack.redis.scan_iter("sepal:batch:*")}

    async def occupy(self, rows: Any = OCCUPANT) -> "asyncio.Task[Any]":
        """Take the pool process."""
        occupant = self.predict("occupant", rows)
        await asyncio.to_thread(wait_for, lambda: self.batches() - self._known, "the occupant's record")
        self._known = self.batches()
        return occupant

    def predict(self, name: str, rows: Any) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(self._predict(name, rows))

    async def gathered(self) -> str:
        """The batch in which all others left."""
        (batch_id,) = await asyncio.to_thread(wait_for, lambda: self.batches() - self._known, "the gathered batch")
        return batch_id

    async def close(self) -> None:
        await self._client.aclose()

    async def _predict(self, name: str, rows: Any) -> httpx.Response:
        response = await self._client.post("/predict", json={"data": rows})
        self.finished.append(name)
        return response


async def test_gathered_predictions_share_a_batch_and_get_their_own_answers(slow: tuple[Stack, Gateway]) -> None:
    crowd = Crowd(*slow)
    await crowd.occupy()
    rows = [[[-1, number]] * (number % 3) + [[0.001, number]] for number in range(30)]
    responses = await asyncio.gather(*(crowd.predict("any", own) for own in rows))
    answers = [response.json() for response in responses]
    assert [answer["prediction"] for answer in answers] == [[0] * (number % 3) + [1] for number in range(30)]
    ids = [PredictionId.parse(answer["id"]) for answer in answers]
    assert Counter(prediction_id.batch_id for prediction_id in ids).most_common(1)[0][1] == 30
    assert len({prediction_id.secret for prediction_id in ids}) == 30
    await crowd.close()


async def test_bad_row_fails_its_own_client_and_no_other_in_the_batch(slow: tuple[Stack, Gateway]) -> None:
    crowd = Crowd(*slow)
    await crowd.occupy()
    bad = {3, 4, 11}
    tasks = [crowd.predict("any", [[7 if number in bad else 1, 0]]) for number in range(16)]
    responses = await asyncio.gather(*tasks)
    assert {number for number, response in enumerate(responses) if response.status_code == 422} == bad
    for number, response in enumerate(responses):
        body = response.json()
        assert body["code"] == "rows-rejected" if number in bad else body["prediction"] == [1]
    await crowd.close()


async def test_canceled_prediction_takes_nobody_in_its_batch_along(slow: tuple[Stack, Gateway]) -> None:
    stack, gateway = slow
    crowd = Crowd(stack, gateway)
    await crowd.occupy()
    tasks = [crowd.predict("any", [[400, number]]) for number in range(5)]
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
    await crowd.close()


async def test_single_row_waits_for_no_more_than_one_large_batch(slow: tuple[Stack, Gateway]) -> None:
    crowd = Crowd(*slow)
    await crowd.occupy()
    large = [crowd.predict("large", [[200, 0]] * 1000) for _ in range(5)]
    await asyncio.to_thread(slow[1].client.get, "/livez")  # by when those have been read
    single = crowd.predict("single", [[0, 0]])
    await asyncio.gather(single, *large)
    assert crowd.finished.index("single") <= 2  # after the occupant, and after one of the five
    await crowd.close()


async def test_answered_batches_leave_no_message_behind(slow: tuple[Stack, Gateway]) -> None:
    stack, gateway = slow
    assert gateway.predict([[0, 0]]).status_code == 200
    wait_for(
        lambda: not list(stack.redis.scan_iter("sepal:unacked*")) and not stack.redis.exists("interactive"),
        "the last acknowledgement",
    )


async def test_client_that_wants_an_id_waits_for_no_worker(slow: tuple[Stack, Gateway]) -> None:
    crowd = Crowd(*slow)
    occupant = await crowd.occupy()
    gathered = crowd.predict("gathered", [[0, 0]])
    response = await asyncio.to_thread(slow[1].predict, [[0, 0]], "respond-async")
    assert response.status_code == 202
    assert not occupant.done()
    await asyncio.gather(occupant, gathered)
    await crowd.close()


async def test_wait_that_ends_before_the_batch_could_leave_is_a_202(slow: tuple[Stack, Gateway]) -> None:
    _, gateway = slow
    crowd = Crowd(*slow)
    occupant = await crowd.occupy([[2500, 0]])
    response = await asyncio.to_thread(gateway.predict, [[0, 5]], "wait=1")
    assert response.status_code == 202
    assert not occupant.done()
    assert (await asyncio.to_thread(gateway.poll, response.headers["Location"])).json()["prediction"] == [0]
    await occupant
    await crowd.close()


def test_two_pool_processes_run_two_batches_at_once(tmp_path: Path, models_dir: Path) -> None:
    model_dir = save_misbehaving(models_dir, pipelines.SleepsAsTold())
    with running_stack(tmp_path, model_dir, worker_processes=2) as (stack, gateway):
        wait_for(lambda: stack.redis.hvals("sepal:workers")[0].split()[1] == b"2", "two pool processes")

        def running() -> int:
            keys = list(stack.redis.scan_iter("sepal:batch:*"))
            return sum(stack.redis.hget(key, "state") == b"running" for key in keys)

        async def both_run() -> bool:
            """Send two, one after the other's record, and see whether they run together."""
            crowd = Crowd(stack, gateway)
            tasks = [await crowd.occupy([[300, 0]]), crowd.predict("any", [[300, 0]])]
            seen = False
            while not all(task.done() for task in tasks):
                seen = await asyncio.to_thread(running) == 2 or seen
            await crowd.close()
            return seen

        # The gateway looks at the workers once a second: at first it may not know of the second process.
        wait_for(lambda: asyncio.run(both_run()), "two batches at once")


def test_several_gateway_processes_share_a_port_and_answer_alike(tmp_path: Path, iris_dir: Path) -> None:
    with running_stack(tmp_path, iris_dir) as (stack, _):
        gateway = stack.start_gateway(api_processes=3).wait_until_ready()
        wait_for(lambda: len(stack.redis.pubsub_channels("sepal:reply:*")) == 4, "every process's own channel")
        rows = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]
        for _ in range(30):
            with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}") as client:  # a connection of its own
                answer = client.post("/predict", json={"data": rows}).json()
                assert answer["prediction"] == [0, 1]
                assert gateway.client.get(f"/results/{answer['id']}").json()["prediction"] == [0, 1]
