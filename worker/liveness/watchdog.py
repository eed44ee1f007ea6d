"""Compares what the store says of this worker with what its consumer does, and repairs what differs for too long."""

import os
import signal
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import structlog

from shared.ids import BatchId
from shared.names import LostReason
from shared.store.workers import AnnounceReply

_IDLE_CHECKS: Final = 10  # at one check a second
_STILL_CHECKS: Final = 3

log = structlog.get_logger(__name__)

Requeue = Callable[[BatchId, LostReason, str], None]
"""Ends an attempt, if there is one, for a reason and with a detail in words, and has the batch published again."""


class ConsumerState(NamedTuple):
    """What Celery's consumer and pool are doing at one moment."""

    pids: Collection[int]
    """Living pool processes."""
    n_loaded: int
    """How many of them have loaded the pipeline."""
    taken: Collection[str]
    """Batches whose messages the consumer has taken and not acknowledged."""
    running: Collection[str]
    """Those of them that a pool process has started on."""
    n_started: int
    """Batches that pool processes have ever started on."""


class Watchdog:
    """Checks at every beat; most differences must be seen at two checks in a row, since one may be accidental."""

    def __init__(self, requeue: Requeue, stop_worker: Callable[[], None]) -> None:
        self._requeue = requeue
        self._stop_worker = stop_worker
        self._abandoned: set[BatchId] = set()
        self._unwanted: set[BatchId] = set()
        self._n_started = 0
        self._idle_checks = 0
        self._still_checks = 0

    def check(self, reply: AnnounceReply, consumer: ConsumerState) -> None:
        """Check once.

        Args:
            reply: what the store says of this worker.
            consumer: what its consumer does.
        """
        self._requeue_of_dead_processes(reply, consumer)
        self._requeue_abandoned(reply, consumer)
        self._stop_unwanted(reply, consumer)
        # Between two checks of a busy worker many batches start: it may have none just at these moments.
        stands_still = consumer.n_loaded > 0 and not consumer.running and consumer.n_started == self._n_started
        self._n_started = consumer.n_started
        self._check_idle(reply, is_idle=stands_still and not consumer.taken)
        self._check_still(is_still=stands_still and bool(consumer.taken))

    def _requeue_of_dead_processes(self, reply: AnnounceReply, consumer: ConsumerState) -> None:
        """Requeue the batches of dead pool processes; Celery may miss a killed process until the batch's time limit."""
        for lease in reply.leases:
            if lease.pid not in consumer.pids:
                log.warning("found an attempt whose process was lost", batch=lease.batch_id, pid=lease.pid)
                self._requeue(lease.batch_id, LostReason.PROCESS, "The pool process was lost.")

    def _requeue_abandoned(self, reply: AnnounceReply, consumer: ConsumerState) -> None:
        """Requeue the batches that no pool process works on: their attempts ended without reporting it."""
        abandoned = {lease.batch_id for lease in reply.leases if lease.batch_id not in consumer.running}
        for batch_id in abandoned & self._abandoned:
            log.warning("found an attempt that ended without a report", batch=batch_id)
            self._requeue(batch_id, LostReason.ERROR, "The attempt ended without a report.")
        self._abandoned = abandoned - self._abandoned

    def _stop_unwanted(self, reply: AnnounceReply, consumer: ConsumerState) -> None:
        """Kill the processes of canceled batches: a pipeline cannot be interrupted in any other way."""
        unwanted = {lease for lease in reply.leases if not lease.is_wanted and lease.batch_id in consumer.running}
        for lease in unwanted:
            if lease.batch_id in self._unwanted:
                log.info("stopped a canceled batch", batch=lease.batch_id, pid=lease.pid)
                os.kill(lease.pid, signal.SIGKILL)
        self._unwanted = {lease.batch_id for lease in unwanted} - self._unwanted

    def _check_still(self, *, is_still: bool) -> None:
        """Stop the worker where messages were taken and no process starts on them: its pool has lost its thread."""
        self._still_checks = self._still_checks + 1 if is_still else 0
        if self._still_checks >= _STILL_CHECKS:
            log.critical("stops this worker: its pool starts on no batch that it has taken")
            self._still_checks = 0
            self._stop_worker()

    def _check_idle(self, reply: AnnounceReply, *, is_idle: bool) -> None:
        """Stop the worker where messages wait and its consumer takes none: it does not recover by itself."""
        self._idle_checks = self._idle_checks + 1 if is_idle and reply.n_waiting else 0
        if self._idle_checks >= _IDLE_CHECKS:
            log.critical("stops this worker: it consumes nothing although messages wait", waiting=reply.n_waiting)
            self._idle_checks = 0
            self._stop_worker()
