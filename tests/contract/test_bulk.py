"""Bulk predictions on a real server: their slices, results, ends and space."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import redis

from shared.bulk import SliceResult
from shared.card import ModelCard
from shared.names import State
from shared.store.attempts import Attempts
from shared.store.blocking import BlockingTransport
from shared.store.bulk import BulkStore, NewBulkPrediction
from shared.store.clock import StoreClock
from shared.store.workers import WorkerRegistry
from tests.stored import TEMPLATE, claim_next, handed_out, new_prediction, open_rows, result_of
from tests.submissions import GatewayStore

MAX_BYTES = 1_000_000


@pytest_asyncio.fixture
async def bulk(store: GatewayStore) -> AsyncIterator[BulkStore]:
    yield BulkStore(store.pooled, StoreClock(), max_bytes=MAX_BYTES, result_ttl_seconds=600, message_template=TEMPLATE)


@pytest.fixture
def registry(url: str, iris_card: ModelCard) -> Iterator[WorkerRegistry]:
    transport = BlockingTransport.failing_fast(url)
    yield WorkerRegistry(transport, "worker", iris_card, max_attempts=3)
    transport.close()


async def accept(bulk: BulkStore, prediction: NewBulkPrediction) -> NewBulkPrediction:
    await bulk.reserve(prediction.id.batch_id, prediction.reserved_bytes)
    await bulk.accept(prediction)
    return prediction


async def test_bulk_prediction_is_scored_slice_by_slice(
    bulk: BulkStore, registry: WorkerRegistry, worker: Attempts, server: redis.Redis
) -> None:
    registry.announce(1)
    made = await accept(bulk, new_prediction(10_000))
    queued = await bulk.read(made.id)
    assert (queued.state, queued.rows_done, queued.id, queued.source) == (State.QUEUED, 0, made.id, made.source)
    scored: list[SliceResult] = []
    while handed_out(server):
        claim = claim_next(server, worker)
        assert claim.source == made.source
        assert (await bulk.read(made.id)).state is State.RUNNING
        scored.append(result_of(claim))
        assert worker.commit_slice(claim, scored[-1], (), 500)
    assert await bulk.results(made.id) == scored
    assert [result.first_row for result in scored][1:] == [
        sum(r.n_rows for r in scored[:n]) for n in range(1, len(scored))
    ]
    final = await bulk.read(made.id)
    assert (final.state, final.rows_done, final.predict_us) == (State.SUCCEEDED, 10_000, 500 * len(scored))
    assert open_rows(server) == 0
