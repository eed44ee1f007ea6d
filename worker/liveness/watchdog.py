"""Compares the store's record of this worker with its consumer's state, and repairs lasting differences."""

import os
import signal
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import structlog

from shared.ids import BatchId
from shared.names import LostReason
from shared.store.workers import AnnounceReply

_IDLE_CHECKS: Final = 10  # at one check a second
_STALLED_CHECKS: Final = 3

log = structlog.get_logger(__name__)

Requeue = Callable[[BatchId, LostReason, str], None]
"""Ends a batch's attempt, if it has one, with a reason and a detail text, and publishes the batch again."""


class ConsumerState(NamedTuple):
    """The state of Celery's consumer and pool at one moment."""

    pids: Collection[int]
    """Living pool processes."""
    n_loaded: int
    """How many of them have loaded the pipeline."""
    taken: Collection[str]
    """Batches whose messages the consumer has taken and not acknowledged."""
    running: Collection[str]
    """Those of them that a pool process has started."""
    n_started: int
    """Batches that pool processes have started, and alien messages, since the worker started."""


class Watchdog:
    """Checks at every beat; repairs most differences only if two consecutive checks find them."""

    def __init__(self, requeue: Requeue, stop_worker: Callable[[], None]) -> None:
        self._requeue = requeue
        self._stop_worker = stop_worker
        self._abandoned: set[BatchId] = set()
        self._unwanted: set[BatchId] = set()
        self._n_started = 0
        self._idle_checks = 0
        self._stalled_checks = 0

    def check(self, reply: AnnounceReply, consumer: ConsumerState) -> None:
        """Compare the two states once, and act on differences.

        Args:
            reply: the store's record of this worker.
            consumer: the consumer's state.
        """
        self._requeue_from_dead_processes(reply, consumer)
        self._requeue_abandoned(reply, consumer)
        self._kill_canceled(reply, consumer)
        # A busy worker starts many batches between two checks, and may run none at the moment of a check.
        starts_nothing = consumer.n_loaded > 0 and not consumer.running and consumer.n_started == self._n_started
        self._n_started = consumer.n_started
        self._check_consumer(reply, is_idle=starts_nothing and not consumer.taken)
        self._check_pool(is_stalled=starts_nothing and bool(consumer.taken))

    def _requeue_from_dead_processes(self, reply: AnnounceReply, consumer: ConsumerState) -> None:
        """Requeue the batches of dead pool processes; Celery may miss a killed process until the batch's time limit."""
        for lease in reply.leases:
            if lease.pid not in consumer.pids:
                log.warning("the pool process of an attempt died", batch=lease.batch_id, pid=lease.pid)
                self._requeue(lease.batch_id, LostReason.PROCESS, "The pool process died.")

    def _requeue_abandoned(self, reply: AnnounceReply, consumer: ConsumerState) -> None:
        """Requeue leased batches that no pool process runs: their attempts ended without an outcome."""
        abandoned = {lease.batch_id for lease in reply.leases if lease.batch_id not in consumer.running}
        for batch_id in abandoned & self._abandoned:
            log.warning("an attempt ended without an outcome", batch=batch_id)
            self._requeue(batch_id, LostReason.ERROR, "The attempt ended without an outcome.")
        self._abandoned = abandoned - self._abandoned

    def _kill_canceled(self, reply: AnnounceReply, consumer: ConsumerState) -> None:
        """Kill the pool processes of canceled batches: there is no other way to interrupt a pipeline."""
        unwanted = {lease for lease in reply.leases if not lease.is_wanted and lease.batch_id in consumer.running}
        for lease in unwanted:
            if lease.batch_id in self._unwanted:
                os.kill(lease.pid, signal.SIGKILL)
                log.info("killed the pool process of a canceled batch", batch=lease.batch_id, pid=lease.pid)
        self._unwanted = {lease.batch_id for lease in unwanted} - self._unwanted

    def _check_pool(self, *, is_stalled: bool) -> None:
        """Stop the worker if no pool process starts the batches that it has taken: its pool hangs."""
        self._stalled_checks = self._stalled_checks + 1 if is_stalled else 0
        if self._stalled_checks >= _STALLED_CHECKS:
            log.critical("stopping this worker: its pool starts none of the batches that it has taken")
            self._stalled_checks = 0
            self._stop_worker()

    def _check_consumer(self, reply: AnnounceReply, *, is_idle: bool) -> None:
        """Stop the worker if messages wait and its consumer takes none: it does not recover by itself."""
        self._idle_checks = self._idle_checks + 1 if is_idle and reply.n_waiting else 0
        if self._idle_checks >= _IDLE_CHECKS:
            log.critical("stopping this worker: messages wait and its consumer takes none", waiting=reply.n_waiting)
            self._idle_checks = 0
            self._stop_worker()
