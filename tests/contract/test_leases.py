"""Leases, what the reconciler puts back, and how a culprit is found: the scripts on a real server."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from api.cluster.reconciler import Reconciler
from api.telemetry.metrics import GatewayMetrics
from shared.card import ModelCard
from shared.errors import DeadLetterNotFound, PredictionAlreadyFinal
from shared.ids import BatchId, PredictionId, child_id
from shared.names import FailureCode, State
from shared.rows import decode_matrix
from shared.store.attempts import Attempts
from shared.store.blocking import BlockingTransport
from shared.store.dead_letters import DeadLetters
from shared.store.recovery import Recovery
from shared.store.schema import Key
from shared.store.scripts import Script
from shared.store.submissions import Submission
from shared.store.workers import AnnounceReply, WorkerRegistry
from tests.contract.conftest import Connect
from tests.submissions import GatewayStore, Messages, answer, backlog, claimed, outcome, shared_batch, spanning

HOUR_MS = 3_600_000
Look = Callable[[], tuple[int, int]]


@pytest.fixture
def look(server: redis.Redis) -> Look:
    """One look of the reconciler, as if a second had passed: batches published again, and taken from lost workers."""
    reconcile = server.register_script(Script.load("reconcile").text)

    def look() -> tuple[int, int]:
        server.hset(Key.RECONCILER, "at", now_ms() - 1000)
        published, given_back, *_ = reconcile(args=[900, 3000, 5000, 3, 600])
        return published, given_back

    return look


@pytest.fixture
def reconciler(store: GatewayStore) -> Reconciler:
    recovery = Recovery(store.asking, Messages(), max_attempts=3, result_ttl_seconds=600, dead_letter_ttl_seconds=600)
    return Reconciler(recovery, GatewayMetrics(CollectorRegistry()))


@pytest.fixture
def announcements(url: str, iris_card: ModelCard) -> Iterator[WorkerRegistry]:
    transport = BlockingTransport.failing_fast(url)
    yield WorkerRegistry(transport, "worker", iris_card, max_attempts=3)
    transport.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def live(server: redis.Redis, worker: str, for_ms: int = 5000) -> None:
    """Have a worker announced."""
    server.hset(Key.WORKERS, worker, f"{now_ms() + for_ms} 1")


def use_up(worker: Attempts, batch_id: BatchId) -> None:
    """Start every attempt that a batch has, and finish none."""
    for number in range(3):
        claimed(worker, batch_id)
        worker.requeue(batch_id, f"lost {number}")


async def tick(reconciler: Reconciler, server: redis.Redis) -> None:
    """Let a second pass, and the reconciler look."""
    server.delete(Key.RECONCILER)
    await reconciler.tick()


async def split(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> tuple[Submission, list[PredictionId]]:
    """A batch of two predictions of a row each, whose attempts were used up and which was split for it."""
    submission, ids = shared_batch(1, 1)
    await store.submit(submission)
    use_up(worker, submission.id)
    await tick(reconciler, server)
    return submission, ids


async def queued(store: GatewayStore, *row_counts: int) -> Submission:
    submission, _ = shared_batch(*row_counts or (1,))
    await store.submit(submission)
    return submission


async def test_batch_is_left_to_the_worker_that_has_it(
    store: GatewayStore, worker: Attempts, connect_worker: Connect
) -> None:
    submission = await queued(store)
    claim = claimed(worker, submission.id)
    assert connect_worker("another").claim(submission.id) is None
    assert worker.commit(claim, outcome(answer("1"))) is not None


async def test_lost_message_is_published_again_once(store: GatewayStore, server: redis.Redis, look: Look) -> None:
    live(server, "worker")
    await queued(store)
    message = server.rpop("interactive")
    looks = [look() for _ in range(4)]
    assert [published for published, _ in looks] == [0, 1, 0, 0]
    assert server.lrange("interactive", 0, -1) == [message]


async def test_messages_that_wait_are_left_alone_and_lost_ones_are_found_among_them(
    store: GatewayStore, server: redis.Redis, look: Look
) -> None:
    live(server, "worker")
    messages = []
    for _ in range(50):
        await queued(store)
        messages.append(server.lindex("interactive", 0))
    assert [look() for _ in range(3)] == [(0, 0)] * 3
    lost = [server.rpop("interactive") for _ in range(3)]
    assert sum(look()[0] for _ in range(5)) == 3
    assert server.lrange("interactive", 0, -1)[::-1] == messages
    assert lost == messages[:3]


@pytest.mark.parametrize(("is_alive", "n_published"), [(True, 0), (False, 1)])
async def test_message_that_a_worker_has_taken_is_lost_when_the_worker_is(
    store: GatewayStore, server: redis.Redis, look: Look, is_alive: bool, n_published: int
) -> None:
    live(server, "worker", for_ms=5000 if is_alive else -1)
    submission, _ = shared_batch(1)
    await store.submit(submission)
    server.hset(f"{Key.UNACKED}worker", "tag", f'[{{"headers": {{"id": "{submission.id}"}}}}, "", ""]')
    server.delete("interactive")
    assert sum(look()[0] for _ in range(4)) == n_published
    assert server.exists(f"{Key.UNACKED}worker") == is_alive


async def test_lost_workers_batches_go_back_and_its_late_commit_writes_nothing(
    store: GatewayStore, worker: Attempts, server: redis.Redis, connect_worker: Connect, look: Look
) -> None:
    live(server, "worker")
    submission = await queued(store)
    server.delete("interactive")
    late = claimed(worker, submission.id)
    assert look() == (0, 0)
    live(server, "worker", for_ms=-1)
    assert look() == (0, 1)
    assert server.llen("interactive") == 1
    assert not server.hexists(Key.WORKERS, "worker")
    assert worker.commit(late, outcome(answer("late"))) is None
    another = connect_worker("another")
    current = claimed(another, submission.id)
    assert current.token == late.token + 1
    assert another.commit(current, outcome(answer("1"))) is not None


async def test_worker_that_was_thought_dead_and_claims_is_watched_again(
    store: GatewayStore, worker: Attempts, look: Look
) -> None:
    submission = await queued(store)
    claimed(worker, submission.id)  # it has not announced itself
    assert look() == (0, 1)


async def test_workers_are_given_time_after_the_broker_was_away(
    store: GatewayStore, worker: Attempts, server: redis.Redis, look: Look
) -> None:
    submission = await queued(store)
    claimed(worker, submission.id)
    live(server, "worker", for_ms=-10_000)
    server.hset(Key.RECONCILER, "at", now_ms() - 10_000)
    reconcile = server.register_script(Script.load("reconcile").text)
    assert reconcile(args=[900, 3000, 5000, 3, 600])[:2] == [0, 0]
    assert look() == (0, 0)


async def test_clock_that_was_set_back_does_not_keep_a_dead_worker_alive(server: redis.Redis, look: Look) -> None:
    live(server, "worker", for_ms=HOUR_MS)
    look()
    announced = server.hget(Key.WORKERS, "worker") or ""
    assert int(announced.split()[0]) <= now_ms() + 5000


async def test_only_one_gateway_looks_at_a_time(store: GatewayStore, server: redis.Redis) -> None:
    reconcile = server.register_script(Script.load("reconcile").text)
    await queued(store)
    server.delete("interactive")
    args = [900, 3000, 5000, 3, 600]
    for _ in range(10):
        assert reconcile(args=args)[0] == 0
    assert server.llen("interactive") == 0


async def test_culprit_alone_fails_and_becomes_a_dead_letter(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, ids = shared_batch(1, 2, 1, 1)
    await store.submit(submission)
    use_up(worker, submission.id)
    assert worker.claim(submission.id) is None
    await store.cancel(ids[3])
    await tick(reconciler, server)
    assert {prediction.state for prediction in await store.read_all(ids)} == {State.RUNNING, State.CANCELED}
    for place in (0, 2):
        part = claimed(worker, child_id(submission.id, place))
        assert decode_matrix(part.rows) == [[[0.0, 0.5]], [], [[3.0, 0.5]]][place]
        assert worker.commit(part, outcome(answer(str(place)))) is not None
    use_up(worker, child_id(submission.id, 1))
    await tick(reconciler, server)

    first, culprit, third, canceled = await store.read_all(ids)
    assert (first.answers, third.answers) == ((answer("0"),), (answer("2"),))
    assert culprit.failure is not None
    assert culprit.failure.code == FailureCode.POISON
    assert canceled.state is State.CANCELED
    assert backlog(server) == 0
    assert server.ttl(Key.BATCH + submission.id) > 0
    assert worker.claim(child_id(submission.id, 3)) is None

    letters = DeadLetters(store.asking)
    (entry,) = await letters.entries(0, 10)
    letter = await letters.get(entry.id)
    assert letter.prediction == str(ids[1])
    assert decode_matrix(letter.rows) == [[1.0, 0.5], [2.0, 0.5]]
    attempts = json.loads(letter.attempts)
    assert [attempt["reason"] for attempt in attempts] == ["lost 0", "lost 1", "lost 2"]
    assert {attempt["worker"] for attempt in attempts} == {"worker"}
    await letters.discard(entry.id)
    assert await letters.entries(0, 10) == []
    with pytest.raises(DeadLetterNotFound):
        await letters.discard(entry.id)


async def test_spanning_prediction_fails_with_its_poisonous_batch(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, prediction_id = spanning(2, 2)
    await store.submit(submission)
    use_up(worker, child_id(prediction_id.batch_id, 1))
    await tick(reconciler, server)
    failure = (await store.read(prediction_id)).failure
    assert failure is not None
    assert failure.code == FailureCode.POISON
    (entry,) = await DeadLetters(store.asking).entries(0, 10)
    assert (await DeadLetters(store.asking).get(entry.id)).prediction == str(prediction_id)
    assert worker.claim(child_id(prediction_id.batch_id, 0)) is None
    assert backlog(server) == 0


async def test_batch_that_was_canceled_after_its_last_attempt_stays_canceled(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, ids = shared_batch(1, 1)
    await store.submit(submission)
    use_up(worker, submission.id)
    for prediction_id in ids:
        await store.cancel(prediction_id)
    await tick(reconciler, server)
    assert [prediction.state for prediction in await store.read_all(ids)] == [State.CANCELED] * 2
    assert backlog(server) == 0
    assert server.scard(Key.EXHAUSTED) == 0
    assert await DeadLetters(store.asking).entries(0, 10) == []


async def test_announcement_tells_a_worker_of_its_leases(
    store: GatewayStore, worker: Attempts, server: redis.Redis, announcements: WorkerRegistry
) -> None:
    assert announcements.announce(1) == AnnounceReply(0, [])
    (wanted, _), (unwanted, ids) = shared_batch(1), shared_batch(1)
    for submission in (wanted, unwanted):
        await store.submit(submission)
        claimed(worker, submission.id)
    await store.cancel(ids[0])
    holdings = announcements.announce(1)
    assert holdings.n_waiting == 2
    assert {lease.batch_id: lease.is_wanted for lease in holdings.leases} == {wanted.id: True, unwanted.id: False}
    announcements.requeue(wanted.id, "its process was killed")
    assert server.llen("interactive") == 3
    assert [lease.batch_id for lease in announcements.announce(1).leases] == [unwanted.id]


async def test_batches_of_a_lost_worker_are_published_in_their_order(
    store: GatewayStore, worker: Attempts, server: redis.Redis, look: Look
) -> None:
    live(server, "worker")
    submissions = [await queued(store) for _ in range(20)]
    messages = server.lrange("interactive", 0, -1)
    for submission in submissions:
        claimed(worker, submission.id)
    server.delete("interactive")
    live(server, "worker", for_ms=-1)
    assert look() == (0, 20)
    assert server.lrange("interactive", 0, -1) == messages
    assert [look() for _ in range(3)] == [(0, 0)] * 3


async def test_slow_looks_keep_no_dead_worker_alive(store: GatewayStore, worker: Attempts, server: redis.Redis) -> None:
    submission = await queued(store)
    claimed(worker, submission.id)
    live(server, "worker")
    reconcile = server.register_script(Script.load("reconcile").text)
    given_back = 0
    for _ in range(6):
        server.hset(Key.RECONCILER, "at", now_ms() - 4000)
        announced: Any = server.hget(Key.WORKERS, "worker")
        until_ms, _, rest = announced.decode().partition(" ")
        server.hset(Key.WORKERS, "worker", f"{int(until_ms) - 4000} {rest}")  # four seconds pass
        given_back += reconcile(args=[900, 3000, 5000, 3, 600])[1]
        if given_back:
            break
    assert given_back == 1


async def test_answered_member_of_a_split_batch_can_no_longer_be_canceled(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, ids = await split(store, worker, server, reconciler)
    worker.commit(claimed(worker, child_id(submission.id, 0)), outcome(answer("0")))
    with pytest.raises(PredictionAlreadyFinal):
        await store.cancel(ids[0])
    assert (await store.read(ids[0])).state is State.SUCCEEDED


async def test_canceled_member_of_a_split_batch_is_run_no_more(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, ids = await split(store, worker, server, reconciler)
    await store.cancel(ids[1])
    assert worker.claim(child_id(submission.id, 1)) is None
    worker.commit(claimed(worker, child_id(submission.id, 0)), outcome(answer("0")))
    assert [prediction.state for prediction in await store.read_all(ids)] == [State.SUCCEEDED, State.CANCELED]
    assert backlog(server) == 0
    assert server.keys(Key.BATCH + "*") == [(Key.BATCH + submission.id).encode()]


async def test_canceled_spanning_prediction_leaves_no_rows_behind(store: GatewayStore, server: redis.Redis) -> None:
    submission, prediction_id = spanning(2, 2, 2)
    await store.submit(submission)
    await store.cancel(prediction_id)
    assert server.keys(Key.BATCH + "*") == [(Key.BATCH + prediction_id.batch_id).encode()]
    assert not server.exists(Key.QUEUED + "bulk")


async def test_open_record_is_never_given_an_end_by_its_waiters(store: GatewayStore, server: redis.Redis) -> None:
    submission = await queued(store)
    await store.shorten_retention([submission.id])
    assert server.ttl(Key.BATCH + submission.id) == -1


async def test_record_that_is_none_keeps_nobody_from_being_put_back(
    store: GatewayStore, server: redis.Redis, look: Look
) -> None:
    broken, _ = await queued(store), await queued(store)
    server.set((Key.BATCH + broken.id), "no record")
    server.delete("interactive")
    assert sum(look()[0] for _ in range(2)) == 1


async def test_second_gateway_finds_a_split_batch_split(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, _ = await split(store, worker, server, reconciler)
    server.sadd(Key.EXHAUSTED, submission.id)  # as the second one read it
    before = server.llen("interactive")
    await tick(reconciler, server)
    assert server.llen("interactive") == before
