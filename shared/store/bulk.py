"""The store's methods for bulk predictions, for a gateway: their space, acceptance, progress and objects."""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from shared.bulk import SliceResult, Source
from shared.errors import (
    BrokerUnavailable,
    Fault,
    InvalidParameter,
    PredictionAlreadyFinal,
    PredictionGone,
    PredictionNotFound,
    StorageFull,
)
from shared.ids import STORED, BatchId, PredictionId
from shared.names import FINAL_STATES, FailureCode, State
from shared.store.clock import NEVER_US, StoreClock
from shared.store.records import NO_OWNER, Failure, Member, Origin, pack_members, pack_origins, unpack_members
from shared.store.schema import MAX_SLICE_BYTES, MAX_SLICE_ROWS, MAX_SLICES
from shared.store.scripts import Script
from shared.store.transport import Argument, AsyncTransport

_RESERVE_SPACE: Final = Script.load("reserve_space")
_ABANDON_UPLOAD: Final = Script.load("abandon_upload")
_ACCEPT_BULK: Final = Script.load("accept_bulk")
_READ_BULK: Final = Script.load("read_bulk")
_CANCEL_BULK: Final = Script.load("cancel_bulk")
_EXTEND_BULK: Final = Script.load("extend_bulk")
_LIST_BULK: Final = Script.load("list_bulk")
_CLAIM_MARKER: Final = Script.load("claim_marker")
_FIND_SWEEPABLE: Final = Script.load("find_sweepable")
_RELEASE_SPACE: Final = Script.load("release_space")
_HAVE_RECORDS: Final = Script.load("have_records")

UPLOAD_SECONDS: Final = 30
"""How long space stays reserved for an upload whose gateway no longer renews it."""
_ACCEPT_SECONDS: Final = 1.8  # after that the response is `broker-unavailable`
_DOWNLOAD_SECONDS: Final = 60
_MAX_SWEPT_PREDICTIONS: Final = 100
_MAX_PREDICTIONS_PER_READ: Final = 100  # in one step of a listing; a long script blocks the server


class NewBulkPrediction(msgspec.Struct, frozen=True):
    """A bulk prediction whose rows are in the object store, and which is to be recorded."""

    id: PredictionId
    source: Source
    model: bytes
    """The model's reference, as JSON."""
    reply_channel: str
    owner: bytes = NO_OWNER
    deadline_us: int = 0
    """Microseconds since 1970, by the store's clock; 0 for none."""
    idempotency: Mapping[str, str] = {}
    """The values of its idempotency keys, by their names in the store."""
    latest_us: int = NEVER_US
    """Microseconds since 1970, by the store's clock: the store refuses the prediction after this time."""
    origin: Origin | None = None
    reserved_bytes: int = 0
    """Space reserved for its rows and results."""


class BulkPrediction(msgspec.Struct, frozen=True):
    """A bulk prediction as recorded. Times are in microseconds since 1970, by the store's clock."""

    id: PredictionId
    state: State
    source: Source
    model: bytes
    rows_done: int
    rows_bad: int
    """Number of the done rows that have no result."""
    created_us: int
    now_us: int
    event: int
    """The number of its latest change, which is the id of the event; it increases with each change."""
    started_us: int | None = None
    finished_us: int | None = None
    predict_us: int = 0
    position: int = 0
    """Number of open bulk predictions that were accepted earlier."""
    failure: Failure | None = None
    errors: Sequence[Fault] = ()
    """For a failure, the first bad rows."""


class BulkPage(msgspec.Struct, frozen=True):
    """A page of the bulk predictions of an owner, the latest first."""

    predictions: Sequence[BulkPrediction]
    cursor: str | None
    """The cursor of the next page; None on the last page."""


class BulkStore:
    """Records, reads and ends bulk predictions for one gateway."""

    def __init__(
        self,
        transport: AsyncTransport,
        clock: StoreClock,
        *,
        max_bytes: int,
        result_ttl_seconds: int,
        message_template: str,
    ) -> None:
        """Send nothing yet.

        Args:
            transport: the transport to the store.
            clock: the store's clock.
            max_bytes: the limit for the space of all predictions and uploads in the object store.
            result_ttl_seconds: how long a final prediction is kept.
            message_template: the template of `CeleryMessages.template` for the bulk queue.
        """
        self._transport = transport
        self._clock = clock
        self._max_bytes = max_bytes
        self._result_ttl_seconds = result_ttl_seconds
        self._message_template = message_template
        self._uploads: set[BatchId] = set()
        """The uploads of this gateway that have a reservation."""

    async def reserve(self, upload_id: BatchId, n_bytes: int) -> None:
        """Set the space reserved for an upload to `n_bytes`, or renew it, for `UPLOAD_SECONDS`.

        Raises:
            StorageFull: the space of all predictions would exceed the limit; the reservation is unchanged.
            BrokerUnavailable: Redis timed out, or the reservation was not renewed in time.
        """
        args: list[Argument] = [upload_id, n_bytes, self._max_bytes, UPLOAD_SECONDS, int(upload_id in self._uploads)]
        reserved = await self._transport.run(_RESERVE_SPACE, args)
        if reserved < 0:
            raise BrokerUnavailable
        if not reserved:
            raise StorageFull
        self._uploads.add(upload_id)

    async def abandon_upload(self, upload_id: BatchId) -> None:
        """Release the space of a refused upload, whose objects are deleted.

        If `accept` recorded its prediction, but the reply was lost, cancel the prediction.

        Raises:
            BrokerUnavailable: Redis timed out; the reservation expires.
        """
        self._uploads.discard(upload_id)
        await self._transport.run(_ABANDON_UPLOAD, [upload_id])

    async def accept(self, prediction: NewBulkPrediction) -> None:
        """Record a bulk prediction, transfer the space of its upload to it, and hand out its first slices.

        Raises:
            BrokerUnavailable: Redis timed out, and will refuse the prediction if it runs the script later; or the
                upload's reservation has expired, and its objects may be deleted.
        """
        batch_id, source = prediction.id.batch_id, prediction.source
        member = Member(prediction.id.secret, 0, deadline_us=prediction.deadline_us, owner=prediction.owner)
        args: list[Argument] = [
            batch_id,
            pack_members([member]),
            prediction.owner.hex(),
            source.encode(),
            source.n_rows,
            source.batch_rows,
            *_slice_limits(source),
            prediction.model,
            prediction.reply_channel,
            self._message_template,
            pack_origins({} if prediction.origin is None else {0: prediction.origin}),
            prediction.reserved_bytes,
            self._result_ttl_seconds,
            min(self._clock.now_plus(_ACCEPT_SECONDS), prediction.latest_us),
        ]
        for key, value in prediction.idempotency.items():
            args += [key, value]
        self._uploads.discard(batch_id)
        if await self._transport.run(_ACCEPT_BULK, args) <= 0:
            raise BrokerUnavailable

    async def read(self, prediction_id: PredictionId) -> BulkPrediction:
        """Look up a bulk prediction.

        Raises:
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `Lookups.read`.
        """
        return (await self._read(prediction_id, with_results=False))[0]

    async def read_results(self, prediction_id: PredictionId) -> list[SliceResult]:
        """Read the results of the slices that are done, in the order of their rows; there may be gaps.

        Raises:
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `Lookups.read`.
        """
        return (await self._read(prediction_id, with_results=True))[1]

    async def _read(
        self, prediction_id: PredictionId, *, with_results: bool
    ) -> tuple[BulkPrediction, list[SliceResult]]:
        reply = await self._transport.run(_READ_BULK, [prediction_id.batch_id, int(with_results)])
        if reply is None:
            is_old = prediction_id.age_seconds >= self._result_ttl_seconds
            raise PredictionGone if is_old else PredictionNotFound
        if not reply:
            raise PredictionNotFound
        now, results, *fields = reply
        prediction = _decode_prediction(prediction_id.batch_id, int(now), fields)
        if not prediction_id.is_stored or not hmac.compare_digest(prediction.id.secret, prediction_id.secret):
            raise PredictionNotFound
        return prediction, [SliceResult.decode(result) for result in results]

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Cancel a bulk prediction: delete its queued slices, and have workers stop the running ones.

        Raises:
            PredictionAlreadyFinal: it is already final.
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `Lookups.read`.
        """
        await self.read(prediction_id)  # checks the secret
        if not await self._transport.run(_CANCEL_BULK, [prediction_id.batch_id, secrets.token_hex(8)]):
            raise PredictionAlreadyFinal

    async def extend_retention(self, prediction_id: PredictionId) -> None:
        """Extend the retention of a final prediction to at least a minute, because it is being downloaded.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        await self._transport.run(_EXTEND_BULK, [prediction_id.batch_id, _DOWNLOAD_SECONDS])

    async def list_predictions(self, owner: bytes, states: Sequence[State], limit: int, cursor: str | None) -> BulkPage:
        """List the bulk predictions of an owner, the latest first; all of them if no states are given.

        Raises:
            InvalidParameter: the cursor is invalid.
            BrokerUnavailable: Redis timed out.
            RecordIncompatible: another version of Sepal wrote one of them.
        """
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise InvalidParameter("`cursor` must be a cursor that this listing has returned.")
        found: list[tuple[str, BulkPrediction]] = []
        while len(found) <= limit:
            before = "+inf" if cursor is None else f"({cursor}"
            now, *entries = await self._transport.run(_LIST_BULK, [owner.hex(), before, _MAX_PREDICTIONS_PER_READ])
            for batch_id, score, *fields in entries:
                cursor = score.decode()
                prediction = _decode_prediction(BatchId(batch_id.decode()), int(now), fields) if fields else None
                if prediction is not None and (not states or prediction.state in states):
                    found.append((cursor, prediction))
            if len(entries) < _MAX_PREDICTIONS_PER_READ:
                break
        page = [prediction for _, prediction in found[:limit]]
        return BulkPage(page, found[limit - 1][0] if len(found) > limit else None)

    async def claim_marker(self, new_marker: str) -> str:
        """Return the marker of this store; set it to `new_marker` if there is none.

        The object store has a copy of the marker (`api.bulk.marker`). If Redis has lost its data, the markers differ,
        and nothing may be swept.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        held: bytes = await self._transport.run(_CLAIM_MARKER, [new_marker])
        return held.decode()

    async def find_sweepable(self) -> list[BatchId]:
        """Return up to 100 predictions and uploads that have space, but whose objects are no longer needed.

        These are uploads whose reservation has expired, predictions whose record has expired, and predictions that are
        final without a result, once none of their slices is running. Each is returned again after a minute until its
        space is released. One that is final without a result is returned once more after its record has expired.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        swept = await self._transport.run(_FIND_SWEEPABLE, [_MAX_SWEPT_PREDICTIONS])
        return [BatchId(batch_id.decode()) for batch_id in swept]

    async def release_space(self, batch_ids: Sequence[BatchId]) -> None:
        """Release the space of predictions and uploads whose objects are deleted.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        await self._transport.run(_RELEASE_SPACE, [*batch_ids])

    async def have_records(self, batch_ids: Sequence[BatchId]) -> list[bool]:
        """Whether each of these predictions or uploads has a record or a reservation.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        return [bool(has) for has in await self._transport.run(_HAVE_RECORDS, [*batch_ids])]


def _slice_limits(source: Source) -> tuple[int, int]:
    """Return the numbers of rows of the smallest and of the largest slice."""
    n_rows = max(1, source.n_rows)
    largest = max(1, min(MAX_SLICE_ROWS, MAX_SLICE_BYTES * n_rows // max(1, source.n_bytes)))
    return min(-(-n_rows // MAX_SLICES), largest), largest


def _decode_prediction(batch_id: BatchId, now_us: int, fields: Sequence[Any]) -> BulkPrediction:
    """Decode a prediction from its position and the fields of `bulk_fields` in slices.lua."""
    position, source, raw_state, members, model, done, bad, created, event, started, finished, predict_us, ended = (
        fields
    )
    (member,) = unpack_members(members)
    failure = Failure.decode(ended) if ended else None
    state = State(raw_state.decode())
    is_late = 0 < member.deadline_us < int(finished or now_us)
    if (is_late and state is not State.CANCELED) or (failure is not None and failure.code == FailureCode.EXPIRED):
        state, failure = State.EXPIRED, None
    return BulkPrediction(
        id=PredictionId(batch_id, STORED, member.secret),
        state=state,
        source=Source.decode(source),
        model=model,
        rows_done=int(done),
        rows_bad=int(bad),
        created_us=int(created),
        now_us=now_us,
        event=int(event),
        started_us=int(started) if started else None,
        finished_us=int(finished) if finished else None,
        predict_us=int(predict_us),
        position=0 if state in FINAL_STATES else position or 0,
        failure=failure,
        errors=() if failure is None else failure.faults,
    )
