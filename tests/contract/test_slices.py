"""The worker's part of bulk predictions on a real server: its queues, and halved slices."""

from collections.abc import Iterator

import pytest
import redis

from shared.bulk import Slice
from shared.card import ModelCard
from shared.names import Queue
from shared.store.attempts import Attempts
from shared.store.blocking import BlockingTransport
from shared.store.bulk import BulkStore
from shared.store.clock import StoreClock
from shared.store.recovery import Recovery
from shared.store.workers import WorkerRegistry
from tests.stored import TEMPLATE, claim_next, handed_out, new_prediction
from tests.submissions import GatewayStore, Messages, patient_transport


@pytest.fixture
def transport(url: str) -> Iterator[BlockingTransport]:
    transport = patient_transport(url)
    yield transport
    transport.close()


def test_worker_is_told_of_the_messages_in_its_queues(
    transport: BlockingTransport, iris_card: ModelCard, server: redis.Redis
) -> None:
    server.lpush("bulk", "one", "two")
    server.lpush("interactive", "one")
    counts = [
        WorkerRegistry(transport, f"worker {n}", iris_card, 3, queues).announce(1).n_waiting
        for n, queues in enumerate([(Queue.INTERACTIVE,), (Queue.BULK,), tuple(Queue)])
    ]
    assert counts == [1, 2, 3]


async def test_slice_is_halved_at_once_if_its_attempt_is_to_be_the_last(
    store: GatewayStore, transport: BlockingTransport, iris_card: ModelCard, worker: Attempts, server: redis.Redis
) -> None:
    bulk = BulkStore(store.pooled, StoreClock(), max_bytes=2**30, result_ttl_seconds=60, message_template=TEMPLATE)
    WorkerRegistry(transport, "worker", iris_card, 3).announce(1)
    made = new_prediction(100)
    await bulk.reserve(made.id.batch_id, made.reserved_bytes)
    await bulk.accept(made)
    claim = claim_next(server, worker)
    assert worker.requeue(claim.batch_id, "too many", is_last=True) is Queue.BULK
    assert handed_out(server) == []
    recovery = Recovery(store.pooled, Messages(), max_attempts=3, result_ttl_seconds=60, dead_letter_ttl_seconds=60)
    await recovery.isolate_poison(claim.batch_id)
    assert [claim_next(server, worker).slice for _ in handed_out(server)] == [Slice(0, 50), Slice(50, 50)]
