"""Bulk predictions on a real server: cutting, handing out and recovering slices, and the final states."""

import asyncio

import msgspec
import pytest
import redis

from shared.bulk import SliceResult
from shared.errors import (
    BrokerUnavailable,
    Fault,
    PredictionAlreadyFinal,
    PredictionGone,
    PredictionNotFound,
    RecordIncompatible,
)
from shared.ids import SPANNING, STORED, PredictionId, new_batch_id
from shared.names import FailureCode, OnError, Output, Queue, State
from shared.store.attempts import Attempts, Claim
from shared.store.bulk import BulkStore
from shared.store.idempotency import IdempotencyKey
from shared.store.records import Failure, Origin, parse_reply
from shared.store.recovery import IsolationResult, Recovery
from shared.store.schema import MAX_SLICE_BYTES, MAX_SLICE_ROWS, MAX_SLICES, Field, Key
from shared.store.scripts import Script
from tests.contract.conftest import Announce, Connect
from tests.listener import Listener
from tests.patience import patience
from tests.stored import accepted, claim_next, handed_out, new_prediction, open_rows, ranges, result_of, set_rate
from tests.submissions import GatewayStore, claimed

FAILURE = Failure(FailureCode.ROWS_REJECTED, "no")


async def reconcile(recovery: Recovery, server: redis.Redis) -> list[IsolationResult]:
    """Run the reconciler as if a second had passed."""
    server.hdel(Key.RECONCILER, "at")
    reconciled = await recovery.reconcile()
    return [(await recovery.isolate_poison(batch_id))[0] for batch_id in reconciled.exhausted]


def exhaust(worker: Attempts, claim: Claim) -> None:
    """Lose the attempt that has been started at a slice, and the others."""
    worker.requeue(claim.batch_id, "lost")
    for _ in range(2):
        claimed(worker, claim.batch_id)
        worker.requeue(claim.batch_id, "lost")


async def test_bulk_prediction_is_scored_slice_by_slice(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 10_000)
    queued = await bulk.read(made.id)
    assert (queued.state, queued.rows_done, queued.id, queued.source) == (State.QUEUED, 0, made.id, made.source)
    scored: list[SliceResult] = []
    while handed_out(server):
        claim = claim_next(server, worker)
        assert (claim.source, claim.rows.n_rows) == (made.source, claim.slice.n_rows if claim.slice else None)
        assert (await bulk.read(made.id)).state is State.RUNNING
        scored.append(result_of(claim, n_bad=1))
        assert worker.commit_slice(claim, scored[-1], (), 500)
    assert await bulk.read_results(made.id) == scored
    assert [result.first_row for result in scored] == [sum(r.n_rows for r in scored[:n]) for n in range(len(scored))]
    final = await bulk.read(made.id)
    assert (final.state, final.rows_done, final.rows_bad) == (State.SUCCEEDED, 10_000, len(scored))
    assert final.predict_us == 500 * len(scored)
    assert open_rows(server) == server.scard(Key.SLICES) == 0


async def test_two_slices_are_handed_out_for_each_pool_process_that_runs_bulk_batches(
    bulk: BulkStore, announce: Announce, recovery: Recovery, server: redis.Redis
) -> None:
    announce("interactive", 8, (Queue.INTERACTIVE,))
    await accepted(bulk, 100_000)
    assert handed_out(server) == []
    announce("bulk", 2, (Queue.BULK,))
    announce("both", 1)
    await reconcile(recovery, server)
    assert len(handed_out(server)) == 6
    await reconcile(recovery, server)
    await accepted(bulk, 100_000)
    assert len(handed_out(server)) == 6


async def test_commit_hands_out_the_next_slice(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    await accepted(bulk, 100_000)
    claim = claim_next(server, worker)
    assert len(handed_out(server)) == 1
    worker.commit_slice(claim, result_of(claim))
    assert len(handed_out(server)) == 2


async def test_owners_take_turns_and_so_do_the_predictions_of_an_owner(
    bulk: BulkStore, announce: Announce, recovery: Recovery, server: redis.Redis
) -> None:
    made = [await accepted(bulk, 100_000, owner=owner) for owner in (1, 1, 1, 2)]
    names = {prediction.id.batch_id: name for prediction, name in zip(made, "abcz", strict=True)}
    announce("worker", 4)
    await reconcile(recovery, server)
    assert "".join(names[slice_id.partition(".")[0]] for slice_id in handed_out(server)) == "azbzczaz"  # type: ignore[index]


async def test_first_slices_are_small_while_the_rate_of_the_model_is_unknown(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    await accepted(bulk, 100_000)
    assert ranges(server) == [(0, 1000), (1000, 1000)]
    claim = claim_next(server, worker)
    worker.commit_slice(claim, result_of(claim))
    assert float(server.hvals(Key.RATES)[0]) > 0
    set_rate(server, 10**9)
    claim = claim_next(server, worker)
    worker.commit_slice(claim, result_of(claim))
    assert ranges(server)[-1][1] <= 16_000, "more than four times the slice before"


async def test_slice_has_the_rows_of_a_fifth_of_a_second(
    bulk: BulkStore, announce: Announce, server: redis.Redis
) -> None:
    announce("worker", 1)
    set_rate(server, 50_000)
    await accepted(bulk, 15_000)
    assert ranges(server) == [(0, 10_000), (10_000, 5000)]


async def test_large_slice_ends_where_a_record_batch_ends(
    bulk: BulkStore, announce: Announce, server: redis.Redis
) -> None:
    announce("worker", 1)
    set_rate(server, 500_000)
    prediction = new_prediction(200_000)
    await bulk.reserve(prediction.id.batch_id, 1)
    source = msgspec.structs.replace(prediction.source, batch_rows=2**14)
    await bulk.accept(msgspec.structs.replace(prediction, source=source))
    assert ranges(server) == [(0, 6 * 2**14), (6 * 2**14, 6 * 2**14)]


@pytest.mark.parametrize(
    ("n_rows", "n_bytes", "rate", "expected"),
    [
        pytest.param(10**7, 10**7, 10**9, MAX_SLICE_ROWS, id="most rows"),
        pytest.param(10_000, 10_000 * 2**20, 10**9, MAX_SLICE_BYTES // 2**20, id="most bytes"),
        pytest.param(10, 10 * MAX_SLICE_BYTES * 2, 10**9, 1, id="rows that are larger than a slice may be"),
        pytest.param(1000, 1000, 1, 1, id="one row"),
        pytest.param(10**6, 10**6, 1, -(-(10**6) // MAX_SLICES), id="so that there are not too many slices"),
    ],
)
async def test_slice_has_limits(
    bulk: BulkStore, announce: Announce, server: redis.Redis, n_rows: int, n_bytes: int, rate: int, expected: int
) -> None:
    announce("worker", 1)
    set_rate(server, rate)
    prediction = new_prediction(n_rows, reserved_bytes=0)
    await bulk.reserve(prediction.id.batch_id, 0)
    source = msgspec.structs.replace(prediction.source, n_bytes=n_bytes)
    await bulk.accept(msgspec.structs.replace(prediction, source=source))
    assert ranges(server)[0] == (0, expected)


async def test_claim_has_the_origin_of_the_request(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    await accepted(bulk, 100, origin=Origin("request-1", outputs=(Output.PROBA,)))
    claim = claim_next(server, worker)
    assert claim.origins == {0: Origin("request-1", outputs=(Output.PROBA,))}
    assert claim.members[0].outputs == (Output.PROBA,)


async def test_commit_with_an_earlier_token_is_refused(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100)
    late = claim_next(server, worker)
    worker.requeue(late.batch_id, "lost")
    current = claimed(worker, late.batch_id)
    assert not worker.commit_slice(late, result_of(late))
    assert not worker.commit_slice(late, FAILURE)
    assert (await bulk.read(made.id)).rows_done == 0
    assert worker.commit_slice(current, result_of(current))
    assert (await bulk.read(made.id)).state is State.SUCCEEDED


async def test_commit_whose_reply_was_lost_is_not_refused_when_it_is_repeated(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100)
    claim = claim_next(server, worker)
    result = result_of(claim)
    assert worker.commit_slice(claim, result)
    assert worker.commit_slice(claim, result), "its worker would delete the object"
    assert not worker.commit_slice(claim, result_of(claim)), "another object"
    assert (await bulk.read(made.id)).rows_done == 100
    assert open_rows(server) == 0


async def test_failure_of_a_slice_fails_the_prediction(
    bulk: BulkStore, announce: Announce, connect_worker: Connect, server: redis.Redis, listener: Listener
) -> None:
    worker, other = connect_worker("worker"), connect_worker("other")
    announce("worker", 2)
    announce("other", 1)
    made = await accepted(bulk, 100_000)
    first, second = claim_next(server, worker), claim_next(server, other)
    worker.commit_slice(first, result_of(first))
    faults = [Fault("/data/1000/petal_length", "not finite")]
    assert other.commit_slice(second, FAILURE, faults)
    failed = await bulk.read(made.id)
    assert (failed.state, failed.rows_done, failed.errors) == (State.FAILED, 1000, tuple(faults))
    assert failed.failure is not None
    assert failed.failure.code == FailureCode.ROWS_REJECTED
    assert open_rows(server) == server.scard(Key.SLICES) == server.llen(Key.OWNERS) == 0
    assert server.keys(Key.BATCH + "*") == [(Key.BATCH + made.id.batch_id).encode()]
    assert parse_reply(await asyncio.wait_for(listener.messages.get(), patience())).batch_id == made.id.batch_id
    assert [worker.claim(slice_id) for slice_id in handed_out(server)] == [None] * 5


async def test_canceled_prediction_has_no_slices_but_those_that_run(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 2)
    made = await accepted(bulk, 100_000)
    committed, running = claim_next(server, worker), claim_next(server, worker)
    worker.commit_slice(committed, result_of(committed))
    await bulk.cancel(made.id)
    canceled = await bulk.read(made.id)
    assert (canceled.state, canceled.rows_done) == (State.CANCELED, 1000)
    assert server.smembers(Key.SLICES) == {running.batch_id.encode()}
    assert not worker.commit_slice(running, result_of(running)), "its worker must delete the object"
    assert open_rows(server) == server.scard(Key.SLICES) == 0
    with pytest.raises(PredictionAlreadyFinal):
        await bulk.cancel(made.id)


async def test_room_of_a_canceled_prediction_goes_to_the_next(
    bulk: BulkStore, announce: Announce, server: redis.Redis
) -> None:
    announce("worker", 1)
    made, waiting = await accepted(bulk, 100_000), await accepted(bulk, 100)
    await bulk.cancel(made.id)
    assert waiting.id.batch_id in handed_out(server)[-1]


async def test_running_slice_of_a_canceled_prediction_is_not_wanted(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100)
    running = claim_next(server, worker)
    await bulk.cancel(made.id)
    worker.requeue(running.batch_id, "killed")
    assert server.scard(Key.SLICES) == 0
    assert not server.exists(Key.BATCH + running.batch_id)


async def test_lost_slice_is_requeued(
    bulk: BulkStore, announce: Announce, worker: Attempts, recovery: Recovery, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100)
    lost = claim_next(server, worker)
    server.hset(Key.WORKERS, "worker", "1 1 bulk granted")  # its announcement has ended
    await reconcile(recovery, server)
    again = claim_next(server, worker)
    assert (again.batch_id, again.slice, again.token) == (lost.batch_id, lost.slice, 2)
    assert worker.commit_slice(again, result_of(again))
    assert (await bulk.read(made.id)).state is State.SUCCEEDED


async def test_attempt_that_was_given_back_does_not_count(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    await accepted(bulk, 2000)
    claim = claim_next(server, worker)
    for _ in range(5):
        assert worker.give_back(claim.batch_id) is Queue.BULK
        assert handed_out(server)[-1] == claim.batch_id, "it is not behind the other slice"
        server.lpop("bulk")
        claimed(worker, claim.batch_id)
    assert worker.requeue(claim.batch_id, "lost") is Queue.BULK
    assert server.hget(Key.BATCH + claim.batch_id, Field.STATE) == b"queued"
    assert worker.give_back(claim.batch_id) is None


async def test_slice_of_a_canceled_prediction_is_given_back_once(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100)
    claim = claim_next(server, worker)
    await bulk.cancel(made.id)
    assert worker.give_back(claim.batch_id) is Queue.BULK
    assert server.scard(Key.SLICES) == server.llen("bulk") == 0
    assert worker.give_back(claim.batch_id) is None


@pytest.mark.parametrize("on_error", list(OnError))
async def test_row_that_no_attempt_survives_is_found_by_halving(
    bulk: BulkStore,
    announce: Announce,
    worker: Attempts,
    recovery: Recovery,
    server: redis.Redis,
    on_error: OnError,
) -> None:
    announce("worker", 4)
    made = await accepted(bulk, 1000, on_error=on_error)
    n_attempts = 0
    while (await bulk.read(made.id)).state in (State.QUEUED, State.RUNNING):
        claim = claim_next(server, worker)
        assert claim.slice is not None
        if claim.slice.first_row <= 667 < claim.slice.first_row + claim.slice.n_rows:
            worker.requeue(claim.batch_id, "killed")
            n_attempts += 1
            await reconcile(recovery, server)
        else:
            assert worker.commit_slice(claim, result_of(claim))
    assert n_attempts <= 3 + 9 + 3
    final, results = await bulk.read(made.id), await bulk.read_results(made.id)
    assert server.scard(Key.SLICES) == server.scard(Key.EXHAUSTED) == open_rows(server) == 0
    if on_error is OnError.REPORT:
        assert (final.state, final.rows_done, final.rows_bad) == (State.SUCCEEDED, 1000, 1)
        assert [(result.first_row, result.n_rows) for result in results if not result.key] == [(667, 1)]
        assert sum(result.n_rows for result in results) == 1000
    else:
        assert final.state is State.FAILED
        assert final.failure is not None
        assert final.failure.code == FailureCode.POISON
        assert [fault.pointer for fault in final.errors] == ["/data/667"]


async def test_exhausted_slice_of_a_canceled_prediction_is_deleted(
    bulk: BulkStore, announce: Announce, worker: Attempts, recovery: Recovery, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 1000)
    exhaust(worker, claim_next(server, worker))
    await bulk.cancel(made.id)
    assert await reconcile(recovery, server) == []
    assert server.scard(Key.SLICES) == server.scard(Key.EXHAUSTED) == 0


async def test_final_prediction_is_kept_for_its_retention(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    key = IdempotencyKey("digest", "fingerprint")
    made = new_prediction(100)
    await bulk.reserve(made.id.batch_id, 100)
    await bulk.accept(msgspec.structs.replace(made, idempotency={key.stored_name: key.stored_value(made.id)}))
    names = [Key.BATCH + made.id.batch_id, Key.RESULTS + made.id.batch_id, key.stored_name]
    assert [server.ttl(name) for name in names] == [-1, -2, -1]
    claim = claim_next(server, worker)
    committed_at = server.time()[0]
    worker.commit_slice(claim, result_of(claim))
    ends = [server.expiretime(name) - 600 for name in names]
    assert all(committed_at <= end <= server.time()[0] + 1 for end in ends)
    for name in names:
        server.expire(name, 40)
    await bulk.extend_retention(made.id)
    assert all(50 < server.ttl(name) <= 60 for name in names[:2])
    server.delete(*names)
    with pytest.raises(PredictionNotFound):
        await bulk.read(made.id)
    old = msgspec.structs.replace(made.id, batch_id="A" * 20)
    with pytest.raises(PredictionGone):
        await bulk.read_results(old)


async def test_open_prediction_is_not_extended(bulk: BulkStore, server: redis.Redis) -> None:
    made = await accepted(bulk, 100)
    await bulk.extend_retention(made.id)
    assert server.ttl(Key.BATCH + made.id.batch_id) == -1


async def test_prediction_without_rows_succeeds_at_once(bulk: BulkStore) -> None:
    made = await accepted(bulk, 0)
    assert (await bulk.read(made.id)).state is State.SUCCEEDED
    assert await bulk.read_results(made.id) == []


async def test_prediction_past_its_deadline_is_expired(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100, deadline_us=1)
    assert (await bulk.read(made.id)).state is State.EXPIRED
    with pytest.raises(PredictionAlreadyFinal):
        await bulk.cancel(made.id)
    claim = claim_next(server, worker)
    assert claim.members[0].deadline_us == 1
    assert worker.commit_slice(claim, Failure(FailureCode.EXPIRED, "late"))
    assert (await bulk.read(made.id)).state is State.EXPIRED
    assert open_rows(server) == 0


async def test_each_change_has_a_later_event(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 2000)
    events = [(await bulk.read(made.id)).event]
    for _ in range(2):
        claim = claim_next(server, worker)
        events.append((await bulk.read(made.id)).event)
        worker.commit_slice(claim, result_of(claim))
        events.append((await bulk.read(made.id)).event)
    assert events == [1, 2, 3, 3, 4]


async def test_position_is_the_number_of_open_predictions_that_were_accepted_earlier(bulk: BulkStore) -> None:
    made = [await accepted(bulk, 100, owner=owner) for owner in (1, 2, 1)]
    assert [(await bulk.read(each.id)).position for each in made] == [0, 1, 2]
    await bulk.cancel(made[0].id)
    assert [(await bulk.read(each.id)).position for each in made] == [0, 0, 1]


async def test_bulk_prediction_is_not_found_with_a_wrong_id(bulk: BulkStore, store: GatewayStore) -> None:
    made = await accepted(bulk, 100)
    for wrong in (
        msgspec.structs.replace(made.id, secret=bytes(13)),
        msgspec.structs.replace(made.id, index=0),
        msgspec.structs.replace(made.id, index=SPANNING),
        PredictionId.new(new_batch_id(), STORED),
    ):
        with pytest.raises(PredictionNotFound):
            await bulk.read(wrong)
        with pytest.raises(PredictionNotFound):
            await bulk.cancel(wrong)
        with pytest.raises(PredictionNotFound):
            await store.read(wrong)
    with pytest.raises(PredictionNotFound):
        await store.read(made.id)


async def test_prediction_is_refused_when_the_script_runs_too_late(bulk: BulkStore, server: redis.Redis) -> None:
    with pytest.raises(BrokerUnavailable):
        await accepted(bulk, 100, latest_us=1)
    assert server.keys(Key.BATCH + "*") == []
    assert open_rows(server) == 0


async def test_prediction_that_is_accepted_twice_is_recorded_once(
    bulk: BulkStore, announce: Announce, server: redis.Redis
) -> None:
    announce("worker", 4)
    made = await accepted(bulk, 1000)
    await bulk.accept(made)
    assert len(handed_out(server)) == 1
    assert open_rows(server) == 1000


async def test_slice_of_a_parent_of_another_schema_is_not_changed(
    bulk: BulkStore, announce: Announce, worker: Attempts, server: redis.Redis
) -> None:
    announce("worker", 1)
    made = await accepted(bulk, 100)
    claim = claim_next(server, worker)
    server.hset(Key.BATCH + made.id.batch_id, Field.SCHEMA, 1)
    before = server.hgetall(Key.BATCH + claim.batch_id)
    with pytest.raises(RecordIncompatible):
        worker.commit_slice(claim, result_of(claim))
    with pytest.raises(RecordIncompatible):
        worker.give_back(claim.batch_id)
    assert server.hgetall(Key.BATCH + claim.batch_id) == before


async def test_reconciler_forgets_slices_without_a_record(
    bulk: BulkStore, announce: Announce, recovery: Recovery, server: redis.Redis
) -> None:
    announce("worker", 1)
    server.sadd(Key.SLICES, "A" * 20 + ".0", "A" * 20 + ".1")
    await accepted(bulk, 100)
    assert handed_out(server) == []
    await reconcile(recovery, server)
    assert len(handed_out(server)) == 1


def test_ordinary_scripts_have_no_functions_of_slices() -> None:
    for name in ("submit", "claim", "commit", "look_up"):
        assert "hand_out" not in Script.load(name).text
