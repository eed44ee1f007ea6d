"""The worker's sign of life: it beats on the consumer's own event loop, and counts only processes that hold the model.

A pool process that has loaded its pipeline writes its pid into a pipe made before the fork; the parent reads the pipe
at each look and forgets pids that the pool no longer has. The leases on the worker's batches last as long as its
announcements are believed, so it also sees to it that no lease outlives its attempt.
"""

import faulthandler
import os
import struct
import threading
import time
from collections.abc import Collection
from typing import Final, NamedTuple

import structlog

from shared.errors import BrokerUnavailable
from shared.store.announcements import Announcements
from shared.store.schema import ANNOUNCEMENT_SECONDS
from shared.store.transport import StoreRefused
from worker.watch import Watch

LOOK_SECONDS: Final = 0.1
"""How often the parent looks for pool processes that have come or gone; a change is announced at once."""
_BEAT_SECONDS: Final = 1.0
_FROZEN_SECONDS: Final = 30  # longer than any timeout of the broker's connections: nothing will wake this event loop

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


class Consumer(NamedTuple):
    """What Celery's consumer is about at the moment of a look."""

    pids: Collection[int]
    """Living pool processes."""
    taken: Collection[str]
    """Batches whose messages it has taken and not acknowledged."""
    running: Collection[str]
    """Those of them that a pool process has started on."""
    n_started: int
    """Those that one has ever started on."""


class Heartbeat:
    """Announces the worker; a store that cannot be reached costs one beat, not the worker."""

    def __init__(self, announcements: Announcements, loaded: LoadedProcesses, watch: Watch) -> None:
        self._announcements = announcements
        self._loaded = loaded
        self._watch = watch
        self._announced = -1
        self._announced_at = 0.0
        self._believed_until = 0.0

    @property
    def n_loaded(self) -> int:
        """Pool processes that can take a batch, as of the last look."""
        return max(0, self._announced)

    @property
    def is_believed(self) -> bool:
        """Whether the store holds an announcement of this worker, with a process that can take a batch."""
        return self.n_loaded > 0 and time.monotonic() < self._believed_until

    def look(self, consumer: Consumer) -> int:
        """Announce how many pool processes can take a batch, when it changed or a beat is due; returns that number."""
        count, now = self._loaded.count(consumer.pids), time.monotonic()
        if count != self._announced or now - self._announced_at >= _BEAT_SECONDS:
            self._announced, self._announced_at = count, now
            self._beat(consumer, count)
        return count

    def _beat(self, consumer: Consumer, count: int) -> None:
        # Should this event loop ever stand still, the process says where, and ends: its supervisor starts another.
        faulthandler.dump_traceback_later(_FROZEN_SECONDS, exit=True)
        try:
            now = time.monotonic()
            holdings = self._announcements.announce(count)
            self._believed_until = now + ANNOUNCEMENT_SECONDS
            self._watch.look(
                holdings,
                pids=consumer.pids,
                taken=consumer.taken,
                running=consumer.running,
                n_started=consumer.n_started,
                can_work=count > 0,
            )
        except (BrokerUnavailable, StoreRefused) as error:
            log.warning("could not announce this worker", reason=str(error))

    def pause(self) -> None:
        """The consumer has lost its broker."""
        faulthandler.cancel_dump_traceback_later()

    def leave(self) -> None:
        """Take no more work, and keep the leases on what the pool still finishes until this process ends."""
        self._announced = 0
        self.pause()
        threading.Thread(target=self._linger, daemon=True).start()

    def _linger(self) -> None:
        while True:
            try:
                self._announcements.announce(0)
            except (BrokerUnavailable, StoreRefused) as error:
                log.warning("could not announce this worker", reason=str(error))
            time.sleep(_BEAT_SECONDS)
