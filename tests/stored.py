"""Bulk predictions as the gateway and the worker make them, without any object."""

from typing import Any

import msgspec
import redis

from shared.bulk import SliceResult, Source, result_key, rows_key
from shared.ids import STORED, BatchId, PredictionId, new_batch_id
from shared.names import OnError
from shared.store.attempts import Attempts, Claim
from shared.store.bulk import NewBulkPrediction
from shared.store.schema import Counter, Key
from tests.submissions import MODEL, claimed

TEMPLATE = '{"id": "{batch_id}"}'
"""Of messages with the slice's id only."""


def new_prediction(n_rows: int, *, owner: int = 1, on_error: OnError = OnError.FAIL, **other: Any) -> NewBulkPrediction:
    """A bulk prediction of rows with 10 bytes each."""
    prediction_id = PredictionId.new(new_batch_id(), STORED)
    source = Source(rows_key(prediction_id.batch_id), n_rows, 10 * n_rows, 2**16, on_error)
    made = NewBulkPrediction(prediction_id, source, MODEL, "reply", bytes([owner] * 16), reserved_bytes=20 * n_rows)
    return msgspec.structs.replace(made, **other)


def handed_out(server: redis.Redis) -> list[BatchId]:
    """The slices whose messages are in the queue, the next one to be popped first."""
    messages: list[Any] = server.lrange("bulk", 0, -1)
    return [BatchId(msgspec.json.decode(message)["id"]) for message in reversed(messages)]


def claim_next(server: redis.Redis, worker: Attempts) -> Claim:
    """Claim the next slice of the queue."""
    popped: Any = server.rpop("bulk")
    return claimed(worker, BatchId(msgspec.json.decode(popped)["id"]))


def result_of(claim: Claim, n_bad: int = 0) -> SliceResult:
    """A result of a slice, with an object of its own."""
    assert claim.slice is not None
    rows, key = claim.slice, result_key(claim.batch_id, claim.token)
    return SliceResult(rows.first_row, rows.n_rows, key, 8 * rows.n_rows, n_bad)


def open_rows(server: redis.Redis) -> int:
    """Rows of bulk predictions that were accepted and are not final, as the store counts them."""
    accepted, final = server.hmget(Key.BACKLOG, [counter + "stored" for counter in Counter])
    return int(accepted or 0) - int(final or 0)
