"""The worker's sign of life: it beats on the consumer's own event loop, and counts only processes that hold the model.

A pool process that has loaded its pipeline writes its pid into a pipe made before the fork; the parent reads the pipe
at each beat and forgets pids that the pool no longer has.
"""

import os
import struct
import time
from collections.abc import Collection
from typing import Final

import structlog
from redis.exceptions import RedisError

from worker.store import Announcer

LOOK_SECONDS: Final = 0.2
"""How often the parent looks for pool processes that have come or gone; a change is announced at once."""
LIFETIME_SECONDS: Final = 5.0  # four beats may be lost before the gateways count the worker out

_BEAT_SECONDS: Final = 1.0

_PID: Final = struct.Struct("i")
_READ_BYTES: Final = _PID.size * 1024

log = structlog.get_logger(__name__)


class LoadedProcesses:
    """The pids of pool processes that hold a warmed pipeline."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._pids: set[int] = set()

    def add(self, pid: int) -> None:
        """Called in a pool process, once it can take a batch. Writes this short are atomic (POSIX, PIPE_BUF)."""
        os.write(self._write, _PID.pack(pid))

    def count(self, living: Collection[int]) -> int:
        """Called in the parent: how many of the `living` pool processes have called `add`."""
        try:
            self._pids.update(pid for (pid,) in _PID.iter_unpack(os.read(self._read, _READ_BYTES)))
        except BlockingIOError:
            pass  # nobody has loaded since the last beat
        self._pids.intersection_update(living)
        return len(self._pids)


class Heartbeat:
    """Announces the worker; a store that cannot be reached costs one beat, not the worker."""

    def __init__(self, announcer: Announcer, loaded: LoadedProcesses) -> None:
        self._announcer = announcer
        self._loaded = loaded
        self._announced = -1
        self._announced_at = 0.0

    def look(self, living: Collection[int]) -> None:
        """Announce how many of the `living` pool processes can take a batch, when it changed or a beat is due."""
        count, now = self._loaded.count(living), time.monotonic()
        if count == self._announced and now - self._announced_at < _BEAT_SECONDS:
            return
        self._announced, self._announced_at = count, now
        try:
            self._announcer.announce(count)
        except RedisError as error:
            log.warning("could not announce this worker", reason=str(error))

    def stop(self) -> None:
        """Withdraw the worker, as far as the store can be reached."""
        try:
            self._announcer.withdraw()
        except RedisError as error:
            log.warning("could not withdraw this worker", reason=str(error))
