"""Compares what the store says of this worker with what its consumer does, and mends what differs for too long."""

import os
import signal
from collections.abc import Callable, Collection
from typing import Final

import structlog

from shared.ids import BatchId
from shared.names import Loss
from shared.store.announcements import Holdings

_IDLE_LOOKS: Final = 10  # at a beat a second
_STILL_LOOKS: Final = 3

log = structlog.get_logger(__name__)

Requeue = Callable[[BatchId, Loss, str], None]
"""Ends an attempt, if there is one, with the reason in words, and has the batch published again."""


class Watch:
    """Looks at every beat; what it finds twice in a row is no accident of the moment."""

    def __init__(self, requeue: Requeue, stop_worker: Callable[[], None]) -> None:
        self._requeue = requeue
        self._stop_worker = stop_worker
        self._left: set[BatchId] = set()
        self._unwanted: set[BatchId] = set()
        self._n_started = 0
        self._idle_looks = 0
        self._still_looks = 0

    def look(
        self,
        holdings: Holdings,
        *,
        pids: Collection[int],
        taken: Collection[str],
        running: Collection[str],
        n_started: int,
        can_work: bool,
    ) -> None:
        """Look once.

        Args:
            holdings: what the store says.
            pids: living pool processes.
            taken: batches whose messages the consumer has and has not acknowledged.
            running: those of them that a pool process has started on.
            n_started: batches that pool processes have ever started on.
            can_work: some pool process has loaded its pipeline.
        """
        self._end_of_the_dead(holdings, pids)
        self._end_left(holdings, running)
        self._stop_unwanted(holdings, running)
        # Between two looks at a busy worker many batches start: it may have none at just these moments.
        stands = can_work and not running and n_started == self._n_started
        self._n_started = n_started
        self._notice_idleness(holdings, is_idle=stands and not taken)
        self._notice_standstill(is_still=stands and bool(taken))

    def _end_of_the_dead(self, holdings: Holdings, pids: Collection[int]) -> None:
        """Celery may come to miss a killed process only at the batch's time limit."""
        for lease in holdings.leases:
            if lease.pid not in pids:
                log.warning("found an attempt whose process was lost", batch=lease.batch_id, pid=lease.pid)
                self._requeue(lease.batch_id, Loss.PROCESS, "The pool process was lost.")

    def _end_left(self, holdings: Holdings, running: Collection[str]) -> None:
        """A lease that no pool process works for: its attempt ended where nobody could say so."""
        left = {lease.batch_id for lease in holdings.leases if lease.batch_id not in running}
        for batch_id in left & self._left:
            log.warning("found an attempt that had ended without a word", batch=batch_id)
            self._requeue(batch_id, Loss.ERROR, "The attempt ended without a word.")
        self._left = left - self._left

    def _stop_unwanted(self, holdings: Holdings, running: Collection[str]) -> None:
        """A pipeline cannot be interrupted from outside: only the end of its process stops it."""
        unwanted = {lease for lease in holdings.leases if not lease.is_wanted and lease.batch_id in running}
        for lease in unwanted:
            if lease.batch_id in self._unwanted:
                log.info("stopped a batch that nobody wants any more", batch=lease.batch_id, pid=lease.pid)
                os.kill(lease.pid, signal.SIGKILL)
        self._unwanted = {lease.batch_id for lease in unwanted} - self._unwanted

    def _notice_standstill(self, *, is_still: bool) -> None:
        """Messages were taken, and no process starts on them, though one could: the pool has lost its thread."""
        self._still_looks = self._still_looks + 1 if is_still else 0
        if self._still_looks >= _STILL_LOOKS:
            log.critical("starts on nothing that it has taken")
            self._still_looks = 0
            self._stop_worker()

    def _notice_idleness(self, holdings: Holdings, *, is_idle: bool) -> None:
        """Messages wait, and a consumer that could take them takes none: it will not recover by itself."""
        self._idle_looks = self._idle_looks + 1 if is_idle and holdings.n_waiting else 0
        if self._idle_looks >= _IDLE_LOOKS:
            log.critical("consumes nothing although messages wait", waiting=holdings.n_waiting)
            self._idle_looks = 0
            self._stop_worker()
