"""Submissions and outcomes as the gateway and the worker would make them."""

import redis

from api.store import NewBatch, Submission
from shared.ids import WHOLE, BatchId, PredictionId, new_batch_id, slice_id
from shared.names import Queue
from shared.record import BACKLOG_KEY, Answer, Failure, Member, Outcome, counter_fields, pack_rows
from worker.store import Claim
from worker.store import Store as WorkerStore

MODEL = b'{"name":"any","version":"1","digest":"sha256:0"}'


def connect(url: str, name: str) -> WorkerStore:
    """A pool process of the worker of that name."""
    return WorkerStore.connect(url, name, result_ttl_seconds=600, max_attempts=3)


def shared_batch(*row_counts: int) -> tuple[Submission, list[PredictionId]]:
    """One batch of several predictions."""
    batch_id = new_batch_id()
    ids = [PredictionId.new(batch_id, place) for place in range(len(row_counts))]
    members = [Member(prediction_id.secret, count) for prediction_id, count in zip(ids, row_counts, strict=True)]
    rows = pack_rows([[float(row), 0.5] for row in range(sum(row_counts))])
    batch = NewBatch(batch_id, rows, members, message="{}")
    return Submission(Queue.INTERACTIVE, batch_id, None, [batch], MODEL, "reply"), ids


def spanning(*row_counts: int) -> tuple[Submission, PredictionId]:
    """One prediction over several batches."""
    prediction_id = PredictionId.new(new_batch_id(), WHOLE)
    batches = [
        NewBatch(
            slice_id(prediction_id.batch_id, number), pack_rows([[1.0, 2.0]] * count), [Member(bytes(13), count)], "{}"
        )
        for number, count in enumerate(row_counts)
    ]
    head = Member(prediction_id.secret, sum(row_counts))
    return Submission(Queue.BULK, prediction_id.batch_id, head, batches, MODEL, "reply"), prediction_id


def answer(text: str) -> Answer:
    return Answer(text.encode(), None)


def outcome(*members: Answer | Failure) -> Outcome:
    return Outcome(queue_us=1000, predict_us=500, members=list(members))


def claimed(worker: WorkerStore, batch_id: BatchId) -> Claim:
    claim = worker.claim(batch_id)
    assert claim is not None
    return claim


def backlog(server: redis.Redis) -> int:
    accepted, final = (server.hmget(BACKLOG_KEY, counter_fields(counter)) for counter in ("accepted", "final"))
    return sum(int(count or 0) for count in accepted) - sum(int(count or 0) for count in final)
