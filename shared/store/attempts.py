"""The store's methods for a pool process: claims batches, commits outcomes, and ends attempts without an outcome."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shared.bulk import Slice, SliceResult, Source
from shared.card import ModelRef
from shared.errors import Fault
from shared.ids import BatchId
from shared.names import Queue
from shared.rows import EncodedRows, Encoding
from shared.store.records import (
    MAX_PUBLISHED_BYTES,
    Failure,
    Member,
    Origin,
    Outcome,
    unpack_members,
    unpack_origins,
)
from shared.store.schema import SLICE
from shared.store.scripts import Script
from shared.store.transport import Argument, Transport

_CLAIM: Final = Script.load("claim")
_COMMIT: Final = Script.load("commit")
_COMMIT_SLICE: Final = Script.load("commit_slice")
_REQUEUE: Final = Script.load("requeue")
_GIVE_BACK: Final = Script.load("give_back")
_QUEUES: Final = {queue.value.encode(): queue for queue in Queue}
_SLICE: Final = SLICE.encode()
_ENCODINGS: Final = {encoding.value.encode(): encoding for encoding in Encoding}


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at a batch."""

    batch_id: BatchId
    token: int
    claimed_us: int
    """Microseconds since 1970, by the store's clock."""
    queue_us: int
    """Microseconds from the submission to this claim."""
    rows: EncodedRows
    """The rows of all members, concatenated; for a slice, only their number."""
    members: list[Member]
    model: ModelRef
    queue: Queue
    origins: dict[int, Origin]
    """The origins of members, by index; not every member has one."""
    slice: Slice | None = None
    """For a slice of a bulk prediction: its range of rows. None for a batch whose rows are in the store."""
    source: Source | None = None
    """For a slice: the rows of the bulk prediction."""


class Attempts:
    """Claims and commits batches for one pool process of a worker."""

    def __init__(self, transport: Transport[Any], worker: str, *, result_ttl_seconds: int, max_attempts: int) -> None:
        self._transport = transport
        self._worker = worker
        self._pid = os.getpid()
        self._result_ttl_seconds = result_ttl_seconds
        self._max_attempts = max_attempts
        self._model = b"", ModelRef(name="", version="", digest="")

    def claim(self, batch_id: BatchId) -> Claim | None:
        """Start an attempt; return None if the batch is final, canceled or deleted, or has another attempt.

        Raises:
            BrokerUnavailable, RecordIncompatible, StoreRefused: no attempt was started, or its token is unknown.
        """
        name = secrets.token_hex(8)
        args: list[Argument] = [batch_id, name, self._worker, self._pid, self._result_ttl_seconds]
        reply = self._transport.run(_CLAIM, args)
        if reply is None:
            return None
        token, created, now, encoding, rows, packed_members, model, queue, packed_origins, source = reply
        members, origins = unpack_members(packed_members), unpack_origins(packed_origins)
        for index, origin in origins.items():
            if origin.outputs:
                members[index] = msgspec.structs.replace(members[index], outputs=origin.outputs)
        is_slice = encoding == _SLICE
        return Claim(
            batch_id=batch_id,
            token=token,
            claimed_us=int(now),
            queue_us=max(0, int(now) - int(created)),  # negative if the clock was set back
            rows=EncodedRows(
                b"" if is_slice else rows,
                sum([member.n_rows for member in members]),
                Encoding.MATRIX if is_slice else _ENCODINGS[encoding],
            ),
            members=members,
            model=self._model_ref(model),
            queue=_QUEUES[queue],
            origins=origins,
            slice=msgspec.msgpack.decode(rows, type=Slice) if is_slice else None,
            source=Source.decode(source) if is_slice else None,
        )

    def _model_ref(self, raw: bytes) -> ModelRef:
        """Decode a model reference; cache it, because successive batches usually have the same one."""
        if raw != self._model[0]:
            self._model = raw, ModelRef.model_validate_json(raw)
        return self._model[1]

    def commit(self, claim: Claim, outcome: Outcome) -> int | None:
        """Record the outcome of a batch.

        Returns:
            Number of predictions of the batch that are not made final by this commit: they were canceled, or wait for
            other batches. None if the outcome was dropped: another attempt has the batch, or it is final.

        Raises:
            BrokerUnavailable, StoreRefused: the outcome may have been recorded nevertheless.
        """
        encoded = outcome.encode()
        failed = any(isinstance(member, Failure) for member in outcome.members)
        is_published = len(encoded) <= MAX_PUBLISHED_BYTES
        args: list[Argument] = [claim.batch_id, claim.token, encoded, self._result_ttl_seconds, int(failed)]
        args += [outcome.predict_us, int(is_published), self._worker, self._pid]
        n_open = int(self._transport.run(_COMMIT, args))
        return None if n_open < 0 else n_open

    def commit_slice(
        self, claim: Claim, result: SliceResult | Failure, errors: Sequence[Fault] = (), predict_us: int = 0
    ) -> bool:
        """Record the result of a slice, or fail its prediction.

        Args:
            claim: the claim of the slice.
            result: the result, whose object has been written, or the failure.
            errors: for a failure, the first bad rows.
            predict_us: microseconds in the pipeline.

        Returns:
            False if the result was dropped: another attempt has the slice, or the slice or its prediction is final.

        Raises:
            BrokerUnavailable, StoreRefused: the result may have been recorded nevertheless.
        """
        assert claim.slice is not None
        rows, n_bad = claim.slice, 0
        if isinstance(result, Failure):
            packed = Failure(result.code, result.detail, (*result.faults, *errors)).encode()
        else:
            packed, n_bad = result.encode(), result.n_bad
        args: list[Argument] = [claim.batch_id, claim.token, packed, int(isinstance(result, Failure))]
        args += [rows.first_row, rows.n_rows, n_bad, predict_us, self._worker, self._pid]
        return bool(self._transport.run(_COMMIT_SLICE, args))

    def give_back(self, batch_id: BatchId) -> Queue | None:
        """End an attempt at a slice without counting it, because the object store is unavailable.

        The slice is queued again, as the last one.

        Returns:
            The queue of the slice; None if no attempt at it was running.

        Raises:
            BrokerUnavailable, RecordIncompatible, StoreRefused: the attempt is still recorded.
        """
        queue = self._transport.run(_GIVE_BACK, [batch_id, self._worker, self._pid])
        return None if queue is None else _QUEUES[queue]

    def requeue(self, batch_id: BatchId, reason: str, *, is_last: bool = False) -> Queue | None:
        """End an attempt without an outcome; the batch is published again if it has attempts left.

        Args:
            batch_id: the id of the batch.
            reason: how the attempt ended.
            is_last: make the batch exhausted after this attempt, whatever its number, so that a slice is halved next.

        Returns:
            The queue of the batch; None if no attempt at it was running.

        Raises:
            BrokerUnavailable, RecordIncompatible, StoreRefused: the attempt is still recorded.
        """
        max_attempts = 1 if is_last else self._max_attempts
        queue = self._transport.run(_REQUEUE, [batch_id, self._worker, reason, max_attempts])
        return None if queue is None else _QUEUES[queue]
