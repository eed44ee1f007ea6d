"""The store's scripts on a real server, called by gateway and worker: tokens, members, children, counters."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import redis

from shared.errors import (
    BacklogFull,
    BrokerUnavailable,
    PredictionAlreadyFinal,
    PredictionNotFound,
    RecordIncompatible,
)
from shared.ids import SPANNING, child_id
from shared.names import FailureCode, Queue, State
from shared.rows import EncodedRows, decode
from shared.store.attempts import Attempts
from shared.store.clock import StoreClock
from shared.store.idempotency import IdempotencyKey, IdempotencyKeys
from shared.store.records import MAX_PUBLISHED_BYTES, Failure, parse_reply
from shared.store.schema import SCHEMA, Counter, Field, Key
from shared.store.scripts import Script
from shared.store.status import StatusReader
from tests.listener import Listener
from tests.patience import patience
from tests.submissions import GatewayStore, answer, backlog, claimed, outcome, shared_batch, spanning


async def test_claim_returns_what_was_submitted(store: GatewayStore, worker: Attempts) -> None:
    submission, ids = shared_batch(2, 1)
    await store.submit(submission)
    claim = claimed(worker, submission.id)
    assert decode(claim.rows) == [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5]]
    assert [member.n_rows for member in claim.members] == [2, 1]
    assert [member.secret for member in claim.members] == [prediction_id.secret for prediction_id in ids]
    assert claim.model.name == "any"
    assert claim.queue_us >= 0


async def test_each_prediction_of_a_shared_batch_gets_its_answer(store: GatewayStore, worker: Attempts) -> None:
    submission, (first, second, third) = shared_batch(2, 1, 1)
    await store.submit(submission)
    failure = Failure(FailureCode.ROWS_REJECTED, "no")
    assert worker.commit(claimed(worker, submission.id), outcome(answer("0,1"), failure, answer("2"))) is not None
    assert (await store.read(first)).answers == (answer("0,1"),)
    assert (await store.read(second)).state is State.FAILED
    assert (await store.read(second)).failure == failure
    assert (await store.read(third)).answers == (answer("2"),)


async def test_commit_with_an_earlier_token_writes_nothing(
    store: GatewayStore, worker: Attempts, server: redis.Redis
) -> None:
    submission, (prediction_id,) = shared_batch(1)
    await store.submit(submission)
    late = claimed(worker, submission.id)
    worker.requeue(submission.id, "The worker was lost.")
    current = claimed(worker, submission.id)
    assert current.token == late.token + 1
    before = server.hgetall(Key.BATCH + submission.id)
    assert worker.commit(late, outcome(answer("late"))) is None
    assert server.hgetall(Key.BATCH + submission.id) == before
    assert worker.commit(current, outcome(answer("current"))) is not None
    assert worker.commit(late, outcome(answer("late"))) is None
    assert (await store.read(prediction_id)).answers == (answer("current"),)
    assert backlog(server) == 0


async def test_repeated_claim_by_the_same_attempt_returns_the_same_token(
    store: GatewayStore, server: redis.Redis
) -> None:
    submission, _ = shared_batch(1)
    await store.submit(submission)
    claim = server.register_script(Script.load("claim").text)
    replies: Any = [claim(args=[submission.id, name, "worker", 1, 600]) for name in ("first", "first", "second")]
    assert [reply and reply[0] for reply in replies] == [1, 1, None]


async def test_batch_is_committed_once(store: GatewayStore, worker: Attempts, server: redis.Redis) -> None:
    submission, _ = shared_batch(3)
    await store.submit(submission)
    claim = claimed(worker, submission.id)
    assert worker.commit(claim, outcome(answer("1"))) is not None
    assert worker.commit(claim, outcome(answer("2"))) is None
    assert worker.claim(submission.id) is None
    assert server.hget(Key.BACKLOG, Counter.FINAL + "interactive") == b"3"


async def test_final_record_has_no_rows_and_expires(store: GatewayStore, worker: Attempts, server: redis.Redis) -> None:
    submission, _ = shared_batch(1)
    await store.submit(submission)
    assert server.ttl(Key.BATCH + submission.id) == -1
    worker.commit(claimed(worker, submission.id), outcome(answer("1")))
    assert not server.hexists(Key.BATCH + submission.id, Field.ROWS)
    assert 0 < server.ttl(Key.BATCH + submission.id) <= 600


async def test_canceling_one_member_does_not_affect_the_others(store: GatewayStore, worker: Attempts) -> None:
    submission, (first, second) = shared_batch(1, 1)
    await store.submit(submission)
    await store.cancel(first)
    assert (await store.read(first)).state is State.CANCELED
    assert (await store.read(second)).state is State.QUEUED
    with pytest.raises(PredictionAlreadyFinal):
        await store.cancel(first)
    worker.commit(claimed(worker, submission.id), outcome(answer("1"), answer("2")))
    assert (await store.read(first)).state is State.CANCELED
    assert (await store.read(second)).answers == (answer("2"),)


async def test_batch_with_all_members_canceled_cannot_be_claimed(
    store: GatewayStore, worker: Attempts, server: redis.Redis
) -> None:
    submission, ids = shared_batch(1, 1)
    await store.submit(submission)
    for prediction_id in ids:
        await store.cancel(prediction_id)
    assert worker.claim(submission.id) is None
    assert backlog(server) == 0


async def test_prediction_cannot_be_read_or_canceled_with_a_wrong_id(store: GatewayStore) -> None:
    submission, (first, second) = shared_batch(1, 1)
    await store.submit(submission)
    spanning_submission, spanning_id = spanning(2, 2)
    await store.submit(spanning_submission)
    for wrong in (
        msgspec.structs.replace(first, secret=second.secret),
        msgspec.structs.replace(first, index=1),
        msgspec.structs.replace(first, index=2),
        msgspec.structs.replace(first, index=SPANNING),
        msgspec.structs.replace(spanning_id, index=0),
    ):
        with pytest.raises(PredictionNotFound):
            await store.read(wrong)
        with pytest.raises(PredictionNotFound):
            await store.cancel(wrong)


async def test_spanning_prediction_counts_its_rows_and_joins_its_answers(
    store: GatewayStore, worker: Attempts, server: redis.Redis
) -> None:
    submission, prediction_id = spanning(3, 3, 1)
    await store.submit(submission)
    assert server.llen("bulk") == 3
    assert (await store.read(prediction_id)).state is State.QUEUED
    done = []
    for index in (2, 0, 1):
        batch_id = child_id(prediction_id.batch_id, index)
        worker.commit(claimed(worker, batch_id), outcome(answer(f"{index}")))
        assert worker.claim(batch_id) is None
        done.append((await store.read(prediction_id)).rows_done)
    assert done == [1, 4, 7]
    final = await store.read(prediction_id)
    assert final.state is State.SUCCEEDED
    assert list(final.answers) == [answer("0"), answer("1"), answer("2")]
    assert final.predict_us == 1500
    assert backlog(server) == 0
    assert server.keys(Key.BATCH + "*") == [(Key.BATCH + prediction_id.batch_id).encode()]


async def test_spanning_prediction_fails_when_one_of_its_batches_fails(
    store: GatewayStore, worker: Attempts, server: redis.Redis
) -> None:
    submission, prediction_id = spanning(2, 2, 2)
    await store.submit(submission)
    late = claimed(worker, child_id(prediction_id.batch_id, 0))
    failure = Failure(FailureCode.ROWS_REJECTED, "no")
    worker.commit(claimed(worker, child_id(prediction_id.batch_id, 1)), outcome(failure))
    assert (await store.read(prediction_id)).failure == failure
    assert backlog(server) == 0
    assert worker.commit(late, outcome(answer("late"))) is None
    assert worker.claim(child_id(prediction_id.batch_id, 2)) is None
    assert backlog(server) == 0
    assert server.keys(Key.BATCH + "*") == [(Key.BATCH + prediction_id.batch_id).encode()]


async def test_rows_of_a_canceled_spanning_prediction_leave_the_backlog_once(
    store: GatewayStore, worker: Attempts, server: redis.Redis
) -> None:
    submission, prediction_id = spanning(2, 2, 2)
    await store.submit(submission)
    worker.commit(claimed(worker, child_id(prediction_id.batch_id, 0)), outcome(answer("0")))
    running = claimed(worker, child_id(prediction_id.batch_id, 1))
    await store.cancel(prediction_id)
    assert backlog(server) == 0
    assert worker.commit(running, outcome(answer("1"))) is None
    assert worker.claim(child_id(prediction_id.batch_id, 2)) is None
    assert backlog(server) == 0
    assert (await store.read(prediction_id)).state is State.CANCELED
    with pytest.raises(PredictionAlreadyFinal):
        await store.cancel(prediction_id)


async def test_repeated_cancellation_by_the_same_request_succeeds(store: GatewayStore, server: redis.Redis) -> None:
    cancel = server.register_script(Script.load("cancel").text)
    (single, _), (several, _) = shared_batch(1), spanning(1, 1)
    for submission, index in ((single, 0), (several, "")):
        await store.submit(submission)
        replies = [cancel(args=[submission.id, index, 600, name]) for name in ("first", "first", "second")]
        assert replies == [1, 1, 0]
    assert backlog(server) == 0


async def test_long_outcome_is_read_from_the_store_and_not_published(
    store: GatewayStore, worker: Attempts, listener: Listener
) -> None:
    submission, (prediction_id,) = shared_batch(1)
    await store.submit(submission)
    long = answer("1" * MAX_PUBLISHED_BYTES)
    worker.commit(claimed(worker, submission.id), outcome(long))
    reply = parse_reply(await asyncio.wait_for(listener.messages.get(), patience()))
    assert (reply.batch_id, reply.outcome) == (submission.id, None)
    assert (await store.read(prediction_id)).answers == (long,)


async def test_predictions_of_one_batch_are_read_together(store: GatewayStore, worker: Attempts) -> None:
    submission, ids = shared_batch(1, 1, 1)
    await store.submit(submission)
    await store.cancel(ids[1])
    assert [prediction.state for prediction in await store.read_all(ids)] == [
        State.QUEUED,
        State.CANCELED,
        State.QUEUED,
    ]
    worker.commit(claimed(worker, submission.id), outcome(answer("1"), answer("2"), answer("3")))
    assert [prediction.answers for prediction in await store.read_all(ids)] == [(answer("1"),), (), (answer("3"),)]


async def test_large_concurrent_submissions_are_all_accepted(store: GatewayStore, server: redis.Redis) -> None:
    async def submit_large() -> None:
        submission, _ = shared_batch(1)
        large = replace(submission.batches[0], rows=EncodedRows(bytes(2 * 1024 * 1024), 1))
        await store.submit(replace(submission, batches=[large]))

    await asyncio.gather(*(submit_large() for _ in range(12)))  # six times the limit of unanswered bytes
    assert server.llen("interactive") == 12


async def test_submission_in_flight_survives_a_lost_connection(store: GatewayStore, server: redis.Redis) -> None:
    await store.submit(shared_batch(1)[0])
    submissions = [asyncio.create_task(store.submit(shared_batch(1)[0])) for _ in range(20)]
    server.client_kill_filter(_type="pubsub")
    await asyncio.gather(*submissions)
    assert server.llen("interactive") == 21
    assert backlog(server) == 21


async def test_broker_that_cannot_write_is_unavailable(store: GatewayStore, server: redis.Redis) -> None:
    server.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerUnavailable):
            await store.submit(shared_batch(1)[0])
    finally:
        server.config_set("maxmemory", 0)
    assert server.dbsize() == 0


async def test_submission_that_runs_twice_is_recorded_and_published_once(
    store: GatewayStore, server: redis.Redis
) -> None:
    submission, _ = shared_batch(2)
    await store.submit(submission)
    await store.submit(submission)
    assert server.llen("interactive") == 1
    assert backlog(server) == 2


async def test_full_backlog_refuses_the_whole_submission(store: GatewayStore, server: redis.Redis) -> None:
    await store.submit(shared_batch(60)[0])
    before = {key: server.dump(key) for key in server.scan_iter()}
    for submission in (shared_batch(41)[0], spanning(40, 11)[0]):
        with pytest.raises(BacklogFull):
            await store.submit(submission)
    assert {key: server.dump(key) for key in server.scan_iter()} == before
    await store.submit(shared_batch(40)[0])


async def test_full_bulk_backlog_does_not_refuse_interactive_predictions(
    store: GatewayStore, server: redis.Redis
) -> None:
    await store.submit(spanning(30, 20)[0])
    with pytest.raises(BacklogFull):
        await store.submit(spanning(1, 1)[0])
    await store.submit(shared_batch(100)[0])
    assert backlog(server) == 150


async def test_predictions_can_be_read_while_the_server_refuses_writes(
    store: GatewayStore, worker: Attempts, server: redis.Redis
) -> None:
    submission, ids = shared_batch(1, 1)
    await store.submit(submission)
    worker.commit(claimed(worker, submission.id), outcome(answer("1"), answer("2")))
    server.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(BrokerUnavailable):
            await store.submit(shared_batch(1)[0])
        assert [prediction.state for prediction in await store.read_all(ids)] == [State.SUCCEEDED] * 2
        assert (await StatusReader(store.pooled, StoreClock()).read_overview()).final_rows[Queue.INTERACTIVE] == 2
    finally:
        server.config_set("min-replicas-to-write", 0)


async def test_spanning_index_with_the_id_of_a_batch_is_not_found(
    store: GatewayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission, (prediction_id,) = shared_batch(1)
    await store.submit(submission)
    monkeypatch.setattr("shared.ids.time.time", lambda: time.time_ns() / 1e9 + 10_000)  # longer than any retention
    with pytest.raises(PredictionNotFound):
        await store.read(msgspec.structs.replace(prediction_id, index=SPANNING))


async def test_child_of_a_parent_of_another_schema_is_not_changed(
    store: GatewayStore, worker: Attempts, server: redis.Redis
) -> None:
    submission, prediction_id = spanning(1, 1)
    await store.submit(submission)
    running = claimed(worker, child_id(prediction_id.batch_id, 0))
    server.hset(Key.BATCH + prediction_id.batch_id, Field.SCHEMA, SCHEMA + 1)
    before = {key: server.dump(key) for key in server.scan_iter()}
    for attempt in (
        lambda: worker.claim(child_id(prediction_id.batch_id, 1)),
        lambda: worker.requeue(running.batch_id, "why"),
        lambda: worker.commit(running, outcome(answer("0"))),
    ):
        with pytest.raises(RecordIncompatible):
            attempt()
    assert {key: server.dump(key) for key in server.scan_iter()} == before


async def test_idempotency_key_of_another_schema_is_refused(store: GatewayStore, server: redis.Redis) -> None:
    keys, key = IdempotencyKeys(store.pooled), IdempotencyKey("digest", "fingerprint")
    for value in ("fingerprint id", f"{SCHEMA + 1} other things that are not known", ""):
        server.set(key.stored_name, value)
        with pytest.raises(RecordIncompatible):
            await keys.reserve(key)


@pytest.mark.parametrize("schema", [b"0", b"%d" % (SCHEMA + 1), None])
async def test_record_of_another_schema_is_refused_and_not_changed(
    store: GatewayStore, worker: Attempts, server: redis.Redis, schema: bytes | None
) -> None:
    submission, (prediction_id,) = shared_batch(1)
    await store.submit(submission)
    key = Key.BATCH + submission.id
    server.hdel(key, Field.SCHEMA) if schema is None else server.hset(key, Field.SCHEMA, schema)
    before = server.dump(key)
    for refused in (store.read, store.cancel):
        with pytest.raises(RecordIncompatible, match="let its processes finish it"):
            await refused(prediction_id)
    for attempt in (lambda: worker.claim(submission.id), lambda: worker.requeue(submission.id, "why")):
        with pytest.raises(RecordIncompatible):
            attempt()
    assert server.dump(key) == before


async def test_submissions_survive_a_flush_of_the_servers_scripts(store: GatewayStore, server: redis.Redis) -> None:
    await store.submit(shared_batch(1)[0])
    server.script_flush()
    await asyncio.gather(*(store.submit(shared_batch(1)[0]) for _ in range(20)))
    assert server.llen("interactive") == 21


async def test_commit_publishes_the_outcome_on_the_reply_channel(
    store: GatewayStore, worker: Attempts, listener: Listener
) -> None:
    submission, _ = shared_batch(1)
    await store.submit(submission)
    committed = outcome(answer("1"))
    worker.commit(claimed(worker, submission.id), committed)
    reply = parse_reply(await asyncio.wait_for(listener.messages.get(), patience()))
    assert (reply.batch_id, reply.outcome) == (submission.id, committed)
