"""Leases, recovery by the reconciler, and isolation of the poison: the scripts on a real server."""

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
from shared.rows import decode
from shared.store.attempts import Attempts
from shared.store.dead_letters import DeadLetters
from shared.store.recovery import Recovery
from shared.store.schema import Key
from shared.store.scripts import Script
from shared.store.submissions import Submission
from shared.store.workers import AnnounceReply, WorkerRegistry
from tests.contract.conftest import Connect
from tests.submissions import GatewayStore, answer, backlog, claimed, outcome, patient_transport, shared_batch, spanning

ANNOUNCED_MS = 5_000_000
"""How long an announcement is valid: so long that no pause of this process changes a result."""
RECONCILE_ARGS = [900, 3_000_000, ANNOUNCED_MS, 3, 600]
Reconcile = Callable[[], tuple[int, int]]


@pytest.fixture
def reconcile(server: redis.Redis) -> Reconcile:
    """Run the script as if a second had passed; return how many batches it published again and requeued."""
    script = server.register_script(Script.load("reconcile").text)

    def reconcile() -> tuple[int, int]:
        server.hset(Key.RECONCILER, "at", now_ms() - 1000)
        n_published, n_requeued, *_ = script(args=RECONCILE_ARGS)
        return n_published, n_requeued

    return reconcile


@pytest.fixture
def reconciler(recovery: Recovery) -> Reconciler:
    return Reconciler(recovery, GatewayMetrics(CollectorRegistry()))


@pytest.fixture
def registry(url: str, iris_card: ModelCard) -> Iterator[WorkerRegistry]:
    transport = patient_transport(url)
    yield WorkerRegistry(transport, "worker", iris_card, max_attempts=3)
    transport.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def announce(server: redis.Redis, worker: str, for_ms: int = ANNOUNCED_MS) -> None:
    """Announce a worker."""
    server.hset(Key.WORKERS, worker, f"{now_ms() + for_ms} 1")


def exhaust(worker: Attempts, batch_id: BatchId) -> None:
    """Start every attempt at a batch and lose it."""
    for attempt in range(3):
        claimed(worker, batch_id)
        worker.requeue(batch_id, f"lost {attempt}")


async def tick(reconciler: Reconciler, server: redis.Redis) -> None:
    """Run the reconciler as if a second had passed."""
    server.delete(Key.RECONCILER)
    await reconciler.tick()


async def split(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> tuple[Submission, list[PredictionId]]:
    """Submit a batch of two predictions of one row each, exhaust it, and have it split."""
    submission, ids = shared_batch(1, 1)
    await store.submit(submission)
    exhaust(worker, submission.id)
    await tick(reconciler, server)
    return submission, ids


async def queued(store: GatewayStore, *row_counts: int) -> Submission:
    submission, _ = shared_batch(*row_counts or (1,))
    await store.submit(submission)
    return submission


async def test_running_batch_cannot_be_claimed_by_another_worker(
    store: GatewayStore, worker: Attempts, connect_worker: Connect
) -> None:
    submission = await queued(store)
    claim = claimed(worker, submission.id)
    assert connect_worker("another").claim(submission.id) is None
    assert worker.commit(claim, outcome(answer("1"))) is not None


async def test_lost_message_is_published_again_once(
    store: GatewayStore, server: redis.Redis, reconcile: Reconcile
) -> None:
    announce(server, "worker")
    await queued(store)
    message = server.rpop("interactive")
    runs = [reconcile() for _ in range(4)]
    assert [n_published for n_published, _ in runs] == [0, 1, 0, 0]
    assert server.lrange("interactive", 0, -1) == [message]


async def test_only_lost_messages_are_published_again_while_others_wait(
    store: GatewayStore, server: redis.Redis, reconcile: Reconcile
) -> None:
    announce(server, "worker")
    messages = []
    for _ in range(50):
        await queued(store)
        messages.append(server.lindex("interactive", 0))
    assert [reconcile() for _ in range(3)] == [(0, 0)] * 3
    lost = [server.rpop("interactive") for _ in range(3)]
    assert sum(reconcile()[0] for _ in range(5)) == 3
    assert server.lrange("interactive", 0, -1)[::-1] == messages
    assert lost == messages[:3]


@pytest.mark.parametrize(("is_alive", "n_published"), [(True, 0), (False, 1)])
async def test_message_taken_by_a_worker_is_published_again_only_if_the_worker_is_lost(
    store: GatewayStore, server: redis.Redis, reconcile: Reconcile, is_alive: bool, n_published: int
) -> None:
    announce(server, "worker", for_ms=ANNOUNCED_MS if is_alive else -1)
    submission, _ = shared_batch(1)
    await store.submit(submission)
    server.hset(f"{Key.UNACKED}worker", "tag", f'[{{"headers": {{"id": "{submission.id}"}}}}, "", ""]')
    server.delete("interactive")
    assert sum(reconcile()[0] for _ in range(4)) == n_published
    assert server.exists(f"{Key.UNACKED}worker") == is_alive


async def test_batch_of_a_lost_worker_is_requeued_and_its_late_commit_is_refused(
    store: GatewayStore, worker: Attempts, server: redis.Redis, connect_worker: Connect, reconcile: Reconcile
) -> None:
    announce(server, "worker")
    submission = await queued(store)
    server.delete("interactive")
    late = claimed(worker, submission.id)
    assert reconcile() == (0, 0)
    announce(server, "worker", for_ms=-1)
    assert reconcile() == (0, 1)
    assert server.llen("interactive") == 1
    assert not server.hexists(Key.WORKERS, "worker")
    assert worker.commit(late, outcome(answer("late"))) is None
    another = connect_worker("another")
    current = claimed(another, submission.id)
    assert current.token == late.token + 1
    assert another.commit(current, outcome(answer("1"))) is not None


async def test_lease_of_an_unannounced_worker_is_found(
    store: GatewayStore, worker: Attempts, reconcile: Reconcile
) -> None:
    submission = await queued(store)
    claimed(worker, submission.id)  # it has not announced itself
    assert reconcile() == (0, 1)


async def test_workers_get_time_to_announce_themselves_after_an_outage(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconcile: Reconcile
) -> None:
    submission = await queued(store)
    claimed(worker, submission.id)
    announce(server, "worker", for_ms=-2 * ANNOUNCED_MS)
    server.hset(Key.RECONCILER, "at", now_ms() - 2 * ANNOUNCED_MS)
    script = server.register_script(Script.load("reconcile").text)
    assert script(args=RECONCILE_ARGS)[:2] == [0, 0]
    assert reconcile() == (0, 0)


async def test_announcement_is_shortened_after_the_clock_was_set_back(
    server: redis.Redis, reconcile: Reconcile
) -> None:
    announce(server, "worker", for_ms=2 * ANNOUNCED_MS)
    reconcile()
    announced = server.hget(Key.WORKERS, "worker") or ""
    assert int(announced.split()[0]) <= now_ms() + ANNOUNCED_MS


async def test_reconciliation_within_the_interval_does_nothing(store: GatewayStore, server: redis.Redis) -> None:
    script = server.register_script(Script.load("reconcile").text)
    await queued(store)
    server.delete("interactive")
    for _ in range(10):
        assert script(args=[ANNOUNCED_MS, *RECONCILE_ARGS[1:]])[0] == 0
    assert server.llen("interactive") == 0


async def test_only_the_poison_fails_and_becomes_a_dead_letter(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, ids = shared_batch(1, 2, 1, 1)
    await store.submit(submission)
    exhaust(worker, submission.id)
    assert worker.claim(submission.id) is None
    await store.cancel(ids[3])
    await tick(reconciler, server)
    assert {prediction.state for prediction in await store.read_all(ids)} == {State.RUNNING, State.CANCELED}
    for index in (0, 2):
        claim = claimed(worker, child_id(submission.id, index))
        assert decode(claim.rows) == [[[0.0, 0.5]], [], [[3.0, 0.5]]][index]
        assert worker.commit(claim, outcome(answer(str(index)))) is not None
    exhaust(worker, child_id(submission.id, 1))
    await tick(reconciler, server)

    first, poison, third, canceled = await store.read_all(ids)
    assert (first.answers, third.answers) == ((answer("0"),), (answer("2"),))
    assert poison.failure is not None
    assert poison.failure.code == FailureCode.POISON
    assert canceled.state is State.CANCELED
    assert backlog(server) == 0
    assert server.ttl(Key.BATCH + submission.id) > 0
    assert worker.claim(child_id(submission.id, 3)) is None

    letters = DeadLetters(store.pooled)
    (entry,) = await letters.list_entries(0, 10)
    letter = await letters.get(entry.id)
    assert letter.prediction == str(ids[1])
    assert decode(letter.rows) == [[1.0, 0.5], [2.0, 0.5]]
    attempts = json.loads(letter.attempts)
    assert [attempt["reason"] for attempt in attempts] == ["lost 0", "lost 1", "lost 2"]
    assert {attempt["worker"] for attempt in attempts} == {"worker"}
    await letters.discard(entry.id)
    assert await letters.list_entries(0, 10) == []
    with pytest.raises(DeadLetterNotFound):
        await letters.discard(entry.id)


async def test_spanning_prediction_with_poison_fails_and_becomes_a_dead_letter(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, prediction_id = spanning(2, 2)
    await store.submit(submission)
    exhaust(worker, child_id(prediction_id.batch_id, 1))
    await tick(reconciler, server)
    failure = (await store.read(prediction_id)).failure
    assert failure is not None
    assert failure.code == FailureCode.POISON
    (entry,) = await DeadLetters(store.pooled).list_entries(0, 10)
    assert (await DeadLetters(store.pooled).get(entry.id)).prediction == str(prediction_id)
    assert worker.claim(child_id(prediction_id.batch_id, 0)) is None
    assert backlog(server) == 0


async def test_exhausted_batch_that_is_canceled_stays_canceled(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, ids = shared_batch(1, 1)
    await store.submit(submission)
    exhaust(worker, submission.id)
    for prediction_id in ids:
        await store.cancel(prediction_id)
    await tick(reconciler, server)
    assert [prediction.state for prediction in await store.read_all(ids)] == [State.CANCELED] * 2
    assert backlog(server) == 0
    assert server.scard(Key.EXHAUSTED) == 0
    assert await DeadLetters(store.pooled).list_entries(0, 10) == []


async def test_announce_reply_contains_the_workers_leases(
    store: GatewayStore, worker: Attempts, server: redis.Redis, registry: WorkerRegistry
) -> None:
    assert registry.announce(1) == AnnounceReply(0, [])
    (wanted, _), (unwanted, ids) = shared_batch(1), shared_batch(1)
    for submission in (wanted, unwanted):
        await store.submit(submission)
        claimed(worker, submission.id)
    await store.cancel(ids[0])
    reply = registry.announce(1)
    assert reply.n_waiting == 2
    assert {lease.batch_id: lease.is_wanted for lease in reply.leases} == {wanted.id: True, unwanted.id: False}
    registry.requeue(wanted.id, "The pool process was lost.")
    assert server.llen("interactive") == 3
    assert [lease.batch_id for lease in registry.announce(1).leases] == [unwanted.id]


async def test_batches_of_a_lost_worker_are_published_in_order_of_acceptance(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconcile: Reconcile
) -> None:
    announce(server, "worker")
    submissions = [await queued(store) for _ in range(20)]
    messages = server.lrange("interactive", 0, -1)
    for submission in submissions:
        claimed(worker, submission.id)
    server.delete("interactive")
    announce(server, "worker", for_ms=-1)
    assert reconcile() == (0, 20)
    assert server.lrange("interactive", 0, -1) == messages
    assert [reconcile() for _ in range(3)] == [(0, 0)] * 3


async def test_lost_worker_is_found_even_if_every_run_comes_late(
    store: GatewayStore, worker: Attempts, server: redis.Redis
) -> None:
    submission = await queued(store)
    claimed(worker, submission.id)
    announce(server, "worker")
    script = server.register_script(Script.load("reconcile").text)
    n_requeued = 0
    for _ in range(6):
        server.hset(Key.RECONCILER, "at", now_ms() - 4_000_000)
        announced: Any = server.hget(Key.WORKERS, "worker")
        until_ms, _, rest = announced.decode().partition(" ")
        server.hset(Key.WORKERS, "worker", f"{int(until_ms) - 4_000_000} {rest}")  # as long as that passes
        n_requeued += script(args=RECONCILE_ARGS)[1]
        if n_requeued:
            break
    assert n_requeued == 1


async def test_member_of_a_split_batch_with_an_answer_cannot_be_canceled(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, ids = await split(store, worker, server, reconciler)
    worker.commit(claimed(worker, child_id(submission.id, 0)), outcome(answer("0")))
    with pytest.raises(PredictionAlreadyFinal):
        await store.cancel(ids[0])
    assert (await store.read(ids[0])).state is State.SUCCEEDED


async def test_canceled_member_of_a_split_batch_is_not_run(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, ids = await split(store, worker, server, reconciler)
    await store.cancel(ids[1])
    assert worker.claim(child_id(submission.id, 1)) is None
    worker.commit(claimed(worker, child_id(submission.id, 0)), outcome(answer("0")))
    assert [prediction.state for prediction in await store.read_all(ids)] == [State.SUCCEEDED, State.CANCELED]
    assert backlog(server) == 0
    assert server.keys(Key.BATCH + "*") == [(Key.BATCH + submission.id).encode()]


async def test_queued_children_of_a_canceled_spanning_prediction_are_deleted(
    store: GatewayStore, server: redis.Redis
) -> None:
    submission, prediction_id = spanning(2, 2, 2)
    await store.submit(submission)
    await store.cancel(prediction_id)
    assert server.keys(Key.BATCH + "*") == [(Key.BATCH + prediction_id.batch_id).encode()]
    assert not server.exists(Key.QUEUED + "bulk")


async def test_open_record_does_not_expire_when_its_retention_is_shortened(
    store: GatewayStore, server: redis.Redis
) -> None:
    submission = await queued(store)
    await store.shorten_retention([submission.id])
    assert server.ttl(Key.BATCH + submission.id) == -1


async def test_invalid_record_does_not_block_recovery_of_others(
    store: GatewayStore, server: redis.Redis, reconcile: Reconcile
) -> None:
    broken, _ = await queued(store), await queued(store)
    server.set((Key.BATCH + broken.id), "not a record")
    server.delete("interactive")
    assert sum(reconcile()[0] for _ in range(2)) == 1


async def test_batch_is_not_split_again_by_a_second_gateway(
    store: GatewayStore, worker: Attempts, server: redis.Redis, reconciler: Reconciler
) -> None:
    submission, _ = await split(store, worker, server, reconciler)
    server.sadd(Key.EXHAUSTED, submission.id)  # as the second gateway read it
    before = server.llen("interactive")
    await tick(reconciler, server)
    assert server.llen("interactive") == before
