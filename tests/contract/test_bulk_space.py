"""The space of bulk predictions in the object store, and the lists of them, on a real server."""

from typing import Any

import pytest
import redis

from shared.errors import BrokerUnavailable, InvalidParameter, PredictionNotFound, StorageFull
from shared.ids import BatchId, new_batch_id
from shared.names import FailureCode, State
from shared.store.attempts import Attempts
from shared.store.bulk import BulkStore
from shared.store.clock import StoreClock
from shared.store.records import Failure
from shared.store.schema import Key
from shared.store.status import StatusReader
from tests.contract.conftest import Announce
from tests.stored import MAX_BYTES, accepted, claim_next, new_prediction, result_of
from tests.submissions import GatewayStore

OWNER = bytes([1] * 16)


def held(server: redis.Redis) -> int:
    """Bytes that all predictions and uploads hold, as the store adds them up."""
    entries: Any = server.hvals(Key.STORED)
    total = sum(int(entry.split(b" ")[0]) for entry in entries)
    assert total == int(server.get(Key.STORED_BYTES) or 0)
    return total


def let_pass(server: redis.Redis) -> None:
    """Have the times pass at which leases of uploads end, and predictions are examined."""
    for key in (Key.UPLOADS, Key.SWEEP):
        entries: Any = server.zrange(key, 0, -1)
        for entry in entries:
            server.zadd(key, {entry: 1})


async def test_reservation_grows_and_shrinks_within_the_limit(bulk: BulkStore, server: redis.Redis) -> None:
    one, other = new_batch_id(), new_batch_id()
    await bulk.reserve(one, 100)
    await bulk.reserve(one, MAX_BYTES - 1000)
    await bulk.reserve(other, 1000)
    with pytest.raises(StorageFull):
        await bulk.reserve(other, 1001)
    assert held(server) == MAX_BYTES
    await bulk.reserve(one, 50)
    assert held(server) == 1050
    await bulk.abandon_upload(one)
    await bulk.abandon_upload(other)
    await bulk.abandon_upload(other)
    assert held(server) == server.zcard(Key.UPLOADS) == 0


async def test_accepted_prediction_holds_what_it_has_reserved(
    bulk: BulkStore, store: GatewayStore, server: redis.Redis
) -> None:
    prediction = new_prediction(100)
    await bulk.reserve(prediction.id.batch_id, 5000)
    await bulk.accept(prediction)
    assert held(server) == prediction.reserved_bytes
    overview = (await StatusReader(store.pooled, StoreClock()).read_overview()).stored
    assert (overview.n_bytes, overview.n_open, overview.backlog) == (prediction.reserved_bytes, 1, 100)


async def test_upload_without_a_reservation_is_not_accepted(bulk: BulkStore, server: redis.Redis) -> None:
    with pytest.raises(BrokerUnavailable):
        await bulk.accept(new_prediction(100))
    assert server.keys(Key.BATCH + "*") == []


async def test_upload_whose_gateway_has_died_is_swept(bulk: BulkStore, server: redis.Redis) -> None:
    prediction = new_prediction(100)
    upload = prediction.id.batch_id
    await bulk.reserve(upload, 100)
    assert await bulk.find_sweepable() == []
    let_pass(server)
    assert await bulk.find_sweepable() == [upload]
    assert await bulk.find_sweepable() == [], "another gateway sweeps it, too"
    with pytest.raises(BrokerUnavailable):
        await bulk.reserve(upload, 200)
    with pytest.raises(BrokerUnavailable):
        await bulk.accept(prediction)
    let_pass(server)
    assert await bulk.find_sweepable() == [upload], "its sweeper may have died"
    await bulk.release_space([upload])
    await bulk.release_space([upload])
    let_pass(server)
    assert await bulk.find_sweepable() == []
    assert held(server) == 0


async def test_open_and_succeeded_predictions_are_not_swept(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100)
    let_pass(server)
    assert await bulk.find_sweepable() == []
    await bulk.release_space([made.id.batch_id])
    assert held(server) == made.reserved_bytes, "an open prediction has lost its space"
    claim = claim_next(server, worker)
    worker.commit_slice(claim, result_of(claim))
    let_pass(server)
    assert await bulk.find_sweepable() == []
    server.delete(Key.BATCH + made.id.batch_id)
    let_pass(server)
    assert await bulk.find_sweepable() == [made.id.batch_id]
    await bulk.release_space([made.id.batch_id])
    assert held(server) == server.zcard(Key.SWEEP) == 0


@pytest.mark.parametrize("end", [State.CANCELED, State.FAILED, State.EXPIRED])
async def test_prediction_without_a_result_is_swept_once_nothing_of_it_runs(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis, end: State
) -> None:
    announce("worker", 2)
    made = await accepted(bulk, 100_000)
    batch_id = made.id.batch_id
    running, last = claim_next(server, worker), claim_next(server, worker)
    if end is State.CANCELED:
        worker.requeue(last.batch_id, "lost")
        await bulk.cancel(made.id)
    else:
        code = FailureCode.EXPIRED if end is State.EXPIRED else FailureCode.ROWS_REJECTED
        worker.commit_slice(last, Failure(code, "no"))
    assert (await bulk.read(made.id)).state is end
    assert await bulk.find_sweepable() == []
    assert not worker.commit_slice(running, result_of(running))
    let_pass(server)
    assert await bulk.find_sweepable() == [batch_id]
    await bulk.release_space([batch_id])
    assert held(server) == 0
    assert (await bulk.read(made.id)).state is end
    let_pass(server)
    assert await bulk.find_sweepable() == []
    assert (await bulk.list_predictions(OWNER, [], 10, None)).predictions != []
    server.delete(Key.BATCH + batch_id)
    let_pass(server)
    assert await bulk.find_sweepable() == [batch_id], "a late attempt may have written an object"
    await bulk.release_space([batch_id])
    assert server.exists(Key.SWEEP, Key.STORED, Key.OWNER + OWNER.hex()) == 0


async def test_result_that_is_too_late_is_swept(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100, deadline_us=1)
    claim = claim_next(server, worker)
    assert not worker.commit_slice(claim, result_of(claim)), "its worker must delete the object"
    assert (await bulk.read(made.id)).state is State.EXPIRED
    assert await bulk.find_sweepable() == [made.id.batch_id]


async def test_abandoned_upload_that_was_accepted_is_canceled(bulk: BulkStore, server: redis.Redis) -> None:
    made = await accepted(bulk, 100)
    await bulk.abandon_upload(made.id.batch_id)
    assert (await bulk.read(made.id)).state is State.CANCELED
    assert await bulk.find_sweepable() == [made.id.batch_id]
    assert held(server) == made.reserved_bytes


async def test_records_and_reservations_are_found(bulk: BulkStore) -> None:
    upload, unknown = new_batch_id(), new_batch_id()
    await bulk.reserve(upload, 100)
    made = await accepted(bulk, 100)
    assert await bulk.have_records([upload, unknown, made.id.batch_id]) == [True, False, True]
    assert await bulk.have_records([]) == []


async def test_marker_is_that_of_the_first(bulk: BulkStore, server: redis.Redis) -> None:
    assert [await bulk.claim_marker(marker) for marker in ("first", "second")] == ["first", "first"]
    server.flushdb()
    assert await bulk.claim_marker("third") == "third"


async def test_owner_lists_its_predictions_the_latest_first(bulk: BulkStore) -> None:
    made = [(await accepted(bulk, 100)).id for _ in range(5)]
    await accepted(bulk, 100, owner=2)
    first = await bulk.list_predictions(OWNER, [], 2, None)
    second = await bulk.list_predictions(OWNER, [], 2, first.cursor)
    third = await bulk.list_predictions(OWNER, [], 2, second.cursor)
    found = [[prediction.id for prediction in page.predictions] for page in (first, second, third)]
    assert found == [[made[4], made[3]], [made[2], made[1]], [made[0]]]
    assert third.cursor is None
    assert (await bulk.list_predictions(OWNER, [], 5, None)).cursor is None
    assert (await bulk.list_predictions(bytes(16), [], 5, None)).predictions == []


async def test_list_has_the_states_that_are_asked_for(bulk: BulkStore, server: redis.Redis) -> None:
    made = [(await accepted(bulk, 100)).id for _ in range(4)]
    expired = await accepted(bulk, 100, deadline_us=1)
    await bulk.cancel(made[0])
    await bulk.cancel(made[2])
    server.delete(Key.BATCH + made[3].batch_id)

    async def listed(*states: State) -> list[BatchId]:
        page = await bulk.list_predictions(OWNER, states, 10, None)
        return [prediction.id.batch_id for prediction in page.predictions]

    assert await listed(State.CANCELED) == [made[2].batch_id, made[0].batch_id]
    assert await listed(State.QUEUED, State.EXPIRED) == [expired.id.batch_id, made[1].batch_id]
    assert await listed(State.SUCCEEDED) == []


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "+inf", "١"])
async def test_cursor_of_no_listing_is_refused(bulk: BulkStore, cursor: str) -> None:
    with pytest.raises(InvalidParameter):
        await bulk.list_predictions(OWNER, [], 10, cursor)


async def test_nothing_is_left_after_the_retention(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    before = set(server.keys("*")) | {key.encode() for key in (Key.BACKLOG, Key.SEQUENCE, Key.RATES)}
    made = await accepted(bulk, 3000)
    while server.llen("bulk"):
        claim = claim_next(server, worker)
        worker.commit_slice(claim, result_of(claim))
    left = set(server.keys("*"))
    assert all(server.ttl(key) > 0 for key in left if made.id.batch_id.encode() in key)
    server.delete(*[key for key in left if made.id.batch_id.encode() in key])
    let_pass(server)
    await bulk.release_space(await bulk.find_sweepable())
    assert set(server.keys("*")) - before == {Key.STORED_BYTES.encode()}
    assert held(server) == 0
    with pytest.raises(PredictionNotFound):
        await bulk.read(made.id)
