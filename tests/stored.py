"""Bulk predictions in Redis as the gateway and the worker record them, without objects."""

from typing import Any

import msgspec
import redis

from shared.bulk import Slice, SliceResult, Source, new_result_key, new_rows_key
from shared.ids import STORED, BatchId, PredictionId, new_batch_id
from shared.names import OnError
from shared.store.attempts import Attempts, Claim
from shared.store.bulk import BulkStore, NewBulkPrediction
from shared.store.schema import Counter, Field, Key
from tests.submissions import MODEL, claimed

MAX_BYTES = 10_000_000
TEMPLATE = '{"id": "{batch_id}"}'
"""Of messages with the slice's id only."""


def new_prediction(n_rows: int, *, owner: int = 1, on_error: OnError = OnError.FAIL, **other: Any) -> NewBulkPrediction:
    """A bulk prediction of rows with 10 bytes each."""
    prediction_id = PredictionId.new(new_batch_id(), STORED)
    source = Source(new_rows_key(prediction_id.batch_id), n_rows, 10 * n_rows, 2**16, on_error)
    made = NewBulkPrediction(prediction_id, source, MODEL, "reply", bytes([owner] * 16), reserved_bytes=20 * n_rows)
    return msgspec.structs.replace(made, **other)


async def accepted(bulk: BulkStore, n_rows: int, **other: Any) -> NewBulkPrediction:
    """Reserve the space of a bulk prediction, and have it accepted."""
    prediction = new_prediction(n_rows, **other)
    await bulk.reserve(prediction.id.batch_id, prediction.reserved_bytes)
    await bulk.accept(prediction)
    return prediction


def set_rate(server: redis.Redis, rows_per_second: int) -> None:
    """Set the expected scoring rate of a pool process."""
    server.hset(Key.RATES, MODEL, rows_per_second)


def ranges(server: redis.Redis) -> list[tuple[int, int]]:
    """First row and number of rows of each slice that is handed out and not claimed."""
    packed: Any = [server.hget(Key.BATCH + slice_id, Field.ROWS) for slice_id in handed_out(server)]
    return [(each.first_row, each.n_rows) for each in (msgspec.msgpack.decode(raw, type=Slice) for raw in packed)]


def handed_out(server: redis.Redis) -> list[BatchId]:
    """The slices whose messages are in the queue, the next one to be popped first."""
    messages: list[Any] = server.lrange("bulk", 0, -1)
    return [BatchId(msgspec.json.decode(message)["id"]) for message in reversed(messages)]


def claim_next(server: redis.Redis, worker: Attempts) -> Claim:
    """Claim the next slice of the queue."""
    popped: Any = server.rpop("bulk")
    return claimed(worker, BatchId(msgspec.json.decode(popped)["id"]))


def result_of(claim: Claim, n_bad: int = 0) -> SliceResult:
    """A result of a slice, in a separate object."""
    assert claim.slice is not None
    rows, key = claim.slice, new_result_key(claim.batch_id, claim.token)
    return SliceResult(rows.first_row, rows.n_rows, key, 8 * rows.n_rows, n_bad)


def open_rows(server: redis.Redis) -> int:
    """Rows of bulk predictions that were accepted and are not final, as the store counts them."""
    accepted, final = server.hmget(Key.BACKLOG, [counter + "stored" for counter in Counter])
    return int(accepted or 0) - int(final or 0)
