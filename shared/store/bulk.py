"""Bulk predictions in the store, for a gateway: their space, acceptance, progress and objects."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from shared.bulk import SliceResult, Source
from shared.errors import Fault
from shared.ids import BatchId, PredictionId
from shared.names import State
from shared.store.clock import NEVER_US
from shared.store.records import NO_OWNER, Failure, Origin
from shared.store.transport import AsyncTransport

UPLOAD_SECONDS: Final = 30
"""How long space stays reserved for an upload whose gateway no longer renews it."""


class NewBulkPrediction(msgspec.Struct, frozen=True):
    """A bulk prediction whose rows are safe in the object store."""

    id: PredictionId
    source: Source
    model: bytes
    """The model's reference, as JSON."""
    reply_channel: str
    owner: bytes = NO_OWNER
    deadline_us: int = 0
    """By the store's clock, since 1970; 0 for none."""
    idempotency: Mapping[str, str] = {}
    """From each key's name in the store to its value."""
    latest_us: int = NEVER_US
    """By the store's clock: the store refuses it after this time."""
    origin: Origin | None = None
    reserved_bytes: int = 0
    """For its rows and its results."""


class BulkPrediction(msgspec.Struct, frozen=True):
    """A bulk prediction as the store has it. Times are in microseconds since 1970, by the store's clock."""

    id: PredictionId
    state: State
    source: Source
    model: bytes
    rows_done: int
    rows_bad: int
    """Of those that are done, the rows without a result."""
    created_us: int
    now_us: int
    event: int
    """The number of its latest change: it grows with each, and is the id of its event."""
    started_us: int | None = None
    finished_us: int | None = None
    predict_us: int = 0
    position: int = 0
    """Number of open bulk predictions that were accepted earlier."""
    failure: Failure | None = None
    errors: Sequence[Fault] = ()
    """Of a failure: the first rows that cannot be scored."""


class BulkPage(msgspec.Struct, frozen=True):
    """Some predictions of an owner, the latest first."""

    predictions: Sequence[BulkPrediction]
    cursor: str | None
    """Of the next page; None on the last."""


class BulkStore:
    """Bulk predictions, for one gateway."""

    def __init__(
        self, transport: AsyncTransport, *, max_bytes: int, result_ttl_seconds: int, message_template: str
    ) -> None:
        raise NotImplementedError

    async def reserve(self, upload: BatchId, n_bytes: int) -> None:
        """Reserve `n_bytes` in all for an upload, or renew its reservation, for `UPLOAD_SECONDS`.

        Raises:
            StorageFull: the reserved bytes of all predictions would exceed the limit; the reservation is as it was.
            BrokerUnavailable: Redis did not answer in time.
        """
        raise NotImplementedError

    async def abandon(self, upload: BatchId) -> None:
        """Give back the space of an upload that was refused, whose objects are deleted."""
        raise NotImplementedError

    async def accept(self, prediction: NewBulkPrediction) -> None:
        """Record a bulk prediction, turn its upload's reservation into its own, and hand out its first slices.

        Raises:
            BrokerUnavailable: Redis did not answer in time; it refuses the prediction if it runs this later.
        """
        raise NotImplementedError

    async def read(self, prediction_id: PredictionId) -> BulkPrediction:
        """Look up a bulk prediction.

        Raises:
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `Lookups.read`.
        """
        raise NotImplementedError

    async def results(self, prediction_id: PredictionId) -> list[SliceResult]:
        """Return the results of the slices that are done, in the order of their rows; there may be gaps.

        Raises:
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `Lookups.read`.
        """
        raise NotImplementedError

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Cancel a bulk prediction: its queued slices are gone, and its running ones are stopped.

        Raises:
            PredictionAlreadyFinal: it is already final.
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `Lookups.read`.
        """
        raise NotImplementedError

    async def extend(self, prediction_id: PredictionId) -> None:
        """Make the retention of a final prediction last for a minute at least: it is being downloaded."""
        raise NotImplementedError

    async def list_predictions(self, owner: bytes, states: Sequence[State], limit: int, cursor: str | None) -> BulkPage:
        """List an owner's bulk predictions that still have a record, the latest first; all states if none is given.

        Raises:
            InvalidParameter: the cursor is none of this listing's.
            BrokerUnavailable: Redis did not answer in time.
        """
        raise NotImplementedError

    async def claim_marker(self, marker: str) -> str:
        """Return the marker of this store, which becomes `marker` if it has none.

        The object store keeps the marker of the store whose predictions it holds (`Sweeper`): if Redis has come back
        empty, its marker differs, and nothing may be swept.
        """
        raise NotImplementedError

    async def swept(self) -> list[BatchId]:
        """Return up to 100 predictions and uploads that hold space and have neither a record nor a gateway."""
        raise NotImplementedError

    async def release(self, batch_ids: Sequence[BatchId]) -> None:
        """Give back the space of predictions whose objects are deleted."""
        raise NotImplementedError

    async def have_records(self, batch_ids: Sequence[BatchId]) -> list[bool]:
        """Whether each of these predictions or uploads has a record or a reservation."""
        raise NotImplementedError
