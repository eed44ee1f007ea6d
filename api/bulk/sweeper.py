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

_MAX_LISTED_OBJECTS: Final = 1000
_LISTING_INTERVAL_SECONDS: Final = 600.0  # between two listings of the whole object store
_MIN_OBJECT_AGE: Final = timedelta(hours=1)

log = structlog.get_logger(__name__)


class Sweeper:
    """Sweeps the object store in a background task, one part at each tick of the gateway's clock."""

    def __init__(self, store: BulkStore, object_store: ObjectStore, marker: Marker, metrics: GatewayMetrics) -> None:
        self._store = store
        self._object_store = object_store
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
        listed = await asyncio.to_thread(self._list_next_objects)
        if not swept and not listed:
            return
        matches = await self._marker.has_equal_copies()
        self._metrics.set_sweeper_paused(not matches)
        if matches:
            for batch_id in swept:
                await asyncio.to_thread(self._object_store.delete_all, objects_prefix(batch_id))
            await self._store.release_space(swept)
            await self._delete_unknown_objects(listed)
            self._metrics.count_swept(len(swept))

    async def _delete_unknown_objects(self, listed_objects: list[StoredObject]) -> None:
        """Delete the listed objects older than an hour whose prediction has neither a record nor a reservation."""
        youngest = datetime.now(UTC) - _MIN_OBJECT_AGE
        old = [stored.key for stored in listed_objects if stored.modified < youngest and stored.key != MARKER_KEY]
        batch_ids = sorted({_parse_batch_id(key) for key in old})
        known = dict(zip(batch_ids, await self._store.have_records(batch_ids), strict=True)) if batch_ids else {}
        unknown = [key for key in old if not known[_parse_batch_id(key)]]
        if unknown:
            log.warning("deleting objects that no record refers to", objects=len(unknown))
            await asyncio.to_thread(self._object_store.delete, unknown)

    def _list_next_objects(self) -> list[StoredObject]:
        """Return the next objects of the listing; none if the next listing is not due yet."""
        now = time.monotonic()
        if self._listing is None:
            if now < self._list_at:
                return []
            self._listing = self._object_store.list()
        listed = list(islice(self._listing, _MAX_LISTED_OBJECTS))
        if len(listed) < _MAX_LISTED_OBJECTS:
            self._listing, self._list_at = None, now + _LISTING_INTERVAL_SECONDS
        return listed


def _parse_batch_id(key: str) -> BatchId:
    return BatchId(key.removeprefix(KEY_PREFIX).partition("/")[0])
