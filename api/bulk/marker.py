"""The marker: a random string in Redis and in the object store, which shows that they belong together.

If Redis has lost its data, or the object store belongs to another Redis, no object has a record here.
"""

import asyncio
import secrets
from typing import Final

import structlog

from shared.bulk import MARKER_KEY
from shared.objects import ObjectStore
from shared.store.bulk import BulkStore

_MARKER_BYTES: Final = 16

log = structlog.get_logger(__name__)


class Marker:
    """Compares the two copies of the marker.

    A copy that is missing is written: an object store without a marker is assigned to this Redis.
    """

    def __init__(self, store: BulkStore, object_store: ObjectStore) -> None:
        self._store = store
        self._object_store = object_store
        self._is_warned = False

    async def has_equal_copies(self) -> bool:
        """Whether the object store belongs to this Redis.

        Raises:
            BrokerUnavailable, ObjectStoreUnavailable, StorageFull: a copy cannot be read or written.
        """
        of_redis = await self._store.claim_marker(secrets.token_hex(_MARKER_BYTES))
        of_objects = await asyncio.to_thread(self._read_object_copy)
        if of_objects is None:
            await asyncio.to_thread(self._object_store.put, MARKER_KEY, of_redis.encode())
        is_equal = of_objects in (None, of_redis)
        if not is_equal and not self._is_warned:
            log.error(
                "the object store belongs to another Redis, or Redis has lost its data: no object is deleted; "
                "delete the object of this key to have those swept that have no record",
                key=MARKER_KEY,
            )
        self._is_warned = not is_equal
        return is_equal

    def _read_object_copy(self) -> str | None:
        try:
            return bytes(self._object_store.read(MARKER_KEY, 0, self._object_store.size(MARKER_KEY))).decode()
        except FileNotFoundError:
            return None
