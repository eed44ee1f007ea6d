"""Deletes objects that no record refers to: those of expired predictions, and those that crashes left.

It deletes nothing if Redis has lost its data, because then every record is missing (`api.bulk.marker`).
"""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import structlog

from api.bulk.marker import Marker
from api.telemetry.metrics import GatewayMetrics
from shared.bulk import MARKER_KEY, objects_prefix
from shared.errors import BrokerUnavailable, ObjectStoreUnavailable, StorageFull
from shared.ids import BatchId
from shared.objects import KEY_PREFIX, ObjectStore, StoredObject
from shared.store.bulk import BulkStore

_LISTED_TOGETHER: Final = 1000
_LIST_SECONDS: Final = 600.0  # between two listings of the whole object store
_MIN_AGE: Final = timedelta(hours=1)

log = structlog.get_logger(__name__)


class Sweeper:
    """Sweeps the object store in a background task, one part at each tick of the gateway's clock."""

    def __init__(self, store: BulkStore, objects: ObjectStore, marker: Marker, metrics: GatewayMetrics) -> None:
        self._store = store
        self._objects = objects
        self._marker = marker
        self._metrics = metrics
        self._running: asyncio.Task[None] | None = None
        self._listing: Iterator[StoredObject] | None = None
        self._list_at = 0.0

    async def tick(self) -> None:
        """Start to sweep the next part, unless the previous one is still being swept; called once a second."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._sweep_and_log())

    async def close(self) -> None:
        """Wait until the current part is swept."""
        if self._running is not None:
            await self._running

    async def _sweep_and_log(self) -> None:
        try:
            await self.sweep()
        except (BrokerUnavailable, ObjectStoreUnavailable, StorageFull) as error:
            self._listing = None
            log.debug("could not sweep the object store", reason=error.code)
        except Exception:
            log.exception("failed to sweep the object store")

    async def sweep(self) -> None:
        """Sweep one part: up to 100 predictions whose objects are not needed, and up to 1,000 listed objects.

        Raises:
            BrokerUnavailable, ObjectStoreUnavailable, StorageFull: the rest of the part was not swept.
        """
        swept = await self._store.find_sweepable()
        listed = await asyncio.to_thread(self._list_next)
        if not swept and not listed:
            return
        matches = await self._marker.matches()
        self._metrics.set_sweeper_paused(not matches)
        if matches:
            for batch_id in swept:
                await asyncio.to_thread(self._objects.delete_all, objects_prefix(batch_id))
            await self._store.release_space(swept)
            await self._delete_unknown(listed)
            self._metrics.count_swept(len(swept))

    async def _delete_unknown(self, listed: list[StoredObject]) -> None:
        """Delete the listed objects older than an hour whose prediction has neither a record nor a reservation."""
        youngest = datetime.now(UTC) - _MIN_AGE
        old = [stored.key for stored in listed if stored.modified < youngest and stored.key != MARKER_KEY]
        batch_ids = sorted({_batch_id(key) for key in old})
        known = dict(zip(batch_ids, await self._store.have_records(batch_ids), strict=True)) if batch_ids else {}
        unknown = [key for key in old if not known[_batch_id(key)]]
        if unknown:
            log.warning("deleting objects that no record refers to", objects=len(unknown))
            await asyncio.to_thread(self._objects.delete, unknown)

    def _list_next(self) -> list[StoredObject]:
        """Return the next objects of the listing; none if the next listing is not due yet."""
        now = time.monotonic()
        if self._listing is None:
            if now < self._list_at:
                return []
            self._listing = self._objects.list()
        listed = list(islice(self._listing, _LISTED_TOGETHER))
        if len(listed) < _LISTED_TOGETHER:
            self._listing, self._list_at = None, now + _LIST_SECONDS
        return listed


def _batch_id(key: str) -> BatchId:
    return BatchId(key.removeprefix(KEY_PREFIX).partition("/")[0])
