"""The marker: a random text, both in Redis and in the object store, which shows that they belong together.

If Redis has come back empty, or the object store is that of another Redis, every object seems to lack its record.
"""

import asyncio
import secrets
from typing import Final

import structlog

from shared.bulk import MARKER
from shared.objects import ObjectStore
from shared.store.bulk import BulkStore

_BYTES: Final = 16

log = structlog.get_logger(__name__)


class Marker:
    """Compares both copies, and writes those that are missing.

    Without the one in the object store, this is taken to belong to the Redis that is there.
    """

    def __init__(self, store: BulkStore, objects: ObjectStore) -> None:
        self._store = store
        self._objects = objects
        self._is_warned = False

    async def matches(self) -> bool:
        """Whether the object store belongs to this Redis.

        Raises:
            BrokerUnavailable, ObjectStoreUnavailable, StorageFull: it cannot be said now.
        """
        of_redis = await self._store.claim_marker(secrets.token_hex(_BYTES))
        of_objects = await asyncio.to_thread(self._read)
        if of_objects is None:
            await asyncio.to_thread(self._objects.put, MARKER, of_redis.encode())
        is_equal = of_objects in (None, of_redis)
        if not is_equal and not self._is_warned:
            log.error(
                "the object store belongs to another Redis, or Redis has lost its data: no object is deleted; "
                "delete the object of this key to have those swept that have no record",
                key=MARKER,
            )
        self._is_warned = not is_equal
        return is_equal

    def _read(self) -> str | None:
        try:
            return bytes(self._objects.read(MARKER, 0, self._objects.size(MARKER))).decode()
        except FileNotFoundError:
            return None
