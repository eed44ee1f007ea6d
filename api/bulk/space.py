"""The space of an upload in the object store: reserved step by step, before the rows are written."""

import asyncio
import time
from typing import Final

from shared.card import ModelCard
from shared.errors import BrokerUnavailable
from shared.ids import BatchId
from shared.names import Output
from shared.store.bulk import UPLOAD_SECONDS, BulkStore

_RESERVED_AHEAD_BYTES: Final = 32 * 2**20
_VALUE_BYTES: Final = 8
_ROW_BYTES: Final = 16
_RESERVATION_SECONDS: Final = UPLOAD_SECONDS - 10
_TRANSFORMED_PER_INPUT_COLUMN: Final = 4  # estimate: output columns of a transformer per input column
_ASSUMED_TREES: Final = 100


class UploadSpace:
    """Reserves and renews the space of one upload."""

    def __init__(self, store: BulkStore, upload_id: BatchId) -> None:
        self._store = store
        self._upload = upload_id
        self._lock = asyncio.Lock()  # a renewal must not undo an increase
        self._renewed_at = time.monotonic()
        self.n_bytes = 0
        """Bytes reserved until now."""

    async def reserve_ahead(self, n_stored_bytes: int) -> None:
        """Reserve 32 MiB beyond the bytes written, if less than half of that is left.

        Args:
            n_stored_bytes: bytes written until now.

        Raises:
            StorageFull, BrokerUnavailable: as `BulkStore.reserve`.
        """
        if n_stored_bytes + _RESERVED_AHEAD_BYTES // 2 > self.n_bytes:
            await self.reserve(n_stored_bytes + _RESERVED_AHEAD_BYTES)

    async def reserve(self, n_bytes: int) -> None:
        """Set the reservation to `n_bytes` in total.

        Raises:
            StorageFull, BrokerUnavailable: as `BulkStore.reserve`.
        """
        async with self._lock:
            await self._store.reserve(self._upload, n_bytes)
            self.n_bytes = n_bytes
            self._renewed_at = time.monotonic()

    async def renew(self) -> None:
        """Renew the reservation.

        Raises:
            StorageFull: as `BulkStore.reserve`.
            BrokerUnavailable: Redis has not replied for almost as long as the reservation lasts.
        """
        async with self._lock:
            try:
                await self._store.reserve(self._upload, self.n_bytes)
            except BrokerUnavailable:
                if time.monotonic() - self._renewed_at > _RESERVATION_SECONDS:
                    raise
            else:
                self._renewed_at = time.monotonic()


def estimated_result_bytes(card: ModelCard, outputs: tuple[Output, ...], n_rows: int) -> int:
    """Estimate the size of a result in bytes.

    Args:
        card: the model card.
        outputs: the requested outputs; empty for the model's default.
        n_rows: number of rows.
    """
    n_columns = sum(_n_output_columns(card, output) for output in outputs or card.default_outputs)
    return n_rows * (_VALUE_BYTES * n_columns + _ROW_BYTES)


def _n_output_columns(card: ModelCard, output: Output) -> int:
    classes = card.classes or ()
    has_targets = bool(classes) and isinstance(classes[0], tuple)
    n_classes = sum(len(each) for each in classes if isinstance(each, tuple)) if has_targets else len(classes)
    match output:
        case Output.PREDICTION:
            return len(classes) if has_targets else 1
        case Output.LOG_PROBA | Output.PROBA:
            return n_classes
        case Output.TRANSFORM:
            return _TRANSFORMED_PER_INPUT_COLUMN * len(card.input.columns)
        case Output.LEAVES:
            return _ASSUMED_TREES
        case _:
            return max(n_classes, 1)
