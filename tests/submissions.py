"""Submissions and outcomes as the gateway and the worker make them, and the parts of the store that both use."""

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from shared.ids import SPANNING, BatchId, PredictionId, child_id, new_batch_id
from shared.names import Output, Queue
from shared.rows import EncodedRows, encode_matrix
from shared.store.attempts import Attempts, Claim
from shared.store.blocking import BlockingTransport
from shared.store.clock import StoreClock
from shared.store.lookups import Lookups
from shared.store.records import Answer, Failure, Member, Outcome
from shared.store.schema import Counter, Key
from shared.store.submissions import NewBatch, Submission, Submissions
from shared.store.transport import AsyncTransport
from tests.patience import patience

MODEL = b'{"name":"any","version":"1","digest":"sha256:0"}'
LIMITS = {Queue.INTERACTIVE: 100, Queue.BULK: 50}


class Messages:
    """Writes messages with the batch's id only: enough for the reconciler, but not for Celery."""

    def make_message(self, batch_id: BatchId, queue: Queue, n_rows: int, n_predictions: int) -> str:
        del queue, n_rows, n_predictions
        return f'{{"id": "{batch_id}"}}'


class GatewayStore:
    """The store's methods that a gateway calls."""

    def __init__(self, pipelined: AsyncTransport, pooled: AsyncTransport) -> None:
        submissions = Submissions(pipelined, StoreClock(), Messages(), LIMITS)
        lookups = Lookups(pooled, result_ttl_seconds=600, answered_ttl_seconds=60)
        self.pooled = pooled
        self.submit = submissions.submit
        self.read = lookups.read
        self.read_all = lookups.read_all
        self.cancel = lookups.cancel
        self.shorten_retention = lookups.shorten_retention


def patient_transport(url: str) -> BlockingTransport:
    """Create a worker's transport that waits for a reply as long as a test does, and does not repeat a slow script."""
    return BlockingTransport(url, patience(), Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)))


def connect(url: str, name: str) -> tuple[Attempts, BlockingTransport]:
    """Connect a pool process of the named worker; the caller closes the transport."""
    transport = patient_transport(url)
    return Attempts(transport, name, result_ttl_seconds=600, max_attempts=3), transport


def encoded(rows: list[list[float]]) -> EncodedRows:
    (part,) = encode_matrix(rows, len(rows))
    return part


def shared_batch(*row_counts: int) -> tuple[Submission, list[PredictionId]]:
    """A batch of several predictions."""
    batch_id = new_batch_id()
    ids = [PredictionId.new(batch_id, index) for index in range(len(row_counts))]
    members = [Member(each.secret, count, 16 * count) for each, count in zip(ids, row_counts, strict=True)]
    rows = encoded([[float(row), 0.5] for row in range(sum(row_counts))])
    batch = NewBatch(batch_id, rows, members)
    return Submission(Queue.INTERACTIVE, batch_id, None, [batch], MODEL, "reply"), ids


def spanning(*row_counts: int) -> tuple[Submission, PredictionId]:
    """A prediction that spans several batches."""
    prediction_id = PredictionId.new(new_batch_id(), SPANNING)
    children = [
        NewBatch(
            child_id(prediction_id.batch_id, index),
            encoded([[1.0, 2.0]] * count),
            [Member(bytes(13), count, 16 * count)],
        )
        for index, count in enumerate(row_counts)
    ]
    member = Member(prediction_id.secret, sum(row_counts))
    return Submission(Queue.BULK, prediction_id.batch_id, member, children, MODEL, "reply"), prediction_id


def answer(text: str) -> Answer:
    return Answer({Output.PREDICTION: text.encode()})


def outcome(*members: Answer | Failure) -> Outcome:
    return Outcome(queue_us=1000, predict_us=500, members=list(members))


def claimed(worker: Attempts, batch_id: BatchId) -> Claim:
    claim = worker.claim(batch_id)
    assert claim is not None
    return claim


def backlog(server: redis.Redis) -> int:
    accepted, final = (server.hmget(Key.BACKLOG, counter.fields) for counter in Counter)
    return sum(int(count or 0) for count in accepted) - sum(int(count or 0) for count in final)
