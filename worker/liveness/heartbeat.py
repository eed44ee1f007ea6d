"""Announces the worker and its loaded pool processes in the store, from the consumer's event loop.

The leases on the worker's batches last as long as its announcements are valid. So each beat also runs the watchdog,
which requeues the batches of lost attempts.
"""

import faulthandler
import threading
import time
from typing import Final

import structlog

from shared.errors import BrokerUnavailable
from shared.store.schema import ANNOUNCEMENT_SECONDS
from shared.store.transport import StoreRefused
from shared.store.workers import WorkerRegistry
from worker.liveness.watchdog import ConsumerState, Watchdog

CHECK_SECONDS: Final = 0.1
"""How often the parent checks its pool processes; a change is announced immediately."""
_BEAT_SECONDS: Final = 1.0
_FROZEN_SECONDS: Final = 30  # longer than any timeout of the broker's connections: this event loop will not recover

log = structlog.get_logger(__name__)


class Heartbeat:
    """Announces the worker; if the store is unavailable, the beat is skipped."""

    def __init__(self, registry: WorkerRegistry, watchdog: Watchdog) -> None:
        self._registry = registry
        self._watchdog = watchdog
        self._n_announced = -1
        self._announced_at = 0.0
        self._valid_until = 0.0

    @property
    def n_loaded(self) -> int:
        """Pool processes that can take a batch, as of the last check."""
        return max(0, self._n_announced)

    @property
    def is_announced(self) -> bool:
        """Whether the store has a valid announcement of this worker with a loaded pool process."""
        return self.n_loaded > 0 and time.monotonic() < self._valid_until

    def check(self, consumer: ConsumerState) -> None:
        """Announce the number of loaded pool processes if it has changed or a beat is due."""
        count, now = consumer.n_loaded, time.monotonic()
        if count != self._n_announced or now - self._announced_at >= _BEAT_SECONDS:
            self._n_announced, self._announced_at = count, now
            self._beat(consumer)

    def _beat(self, consumer: ConsumerState) -> None:
        # If this event loop freezes, the process writes its traceback and exits; its supervisor starts another.
        faulthandler.dump_traceback_later(_FROZEN_SECONDS, exit=True)
        try:
            now = time.monotonic()
            reply = self._registry.announce(consumer.n_loaded)
            self._valid_until = now + ANNOUNCEMENT_SECONDS
            self._watchdog.check(reply, consumer)
        except (BrokerUnavailable, StoreRefused) as error:
            log.warning("could not announce this worker", reason=str(error))

    def stop_freeze_timer(self) -> None:
        """Turn the freeze timer off, because the consumer has stopped or lost its broker."""
        faulthandler.cancel_dump_traceback_later()

    def announce_shutdown(self) -> None:
        """Announce zero loaded pool processes until this process ends, so that leases of running batches stay valid."""
        self._n_announced = 0
        self.stop_freeze_timer()
        threading.Thread(target=self._keep_announcing, daemon=True).start()

    def _keep_announcing(self) -> None:
        while True:
            try:
                self._registry.announce(0)
            except (BrokerUnavailable, StoreRefused) as error:
                log.warning("could not announce this worker", reason=str(error))
            time.sleep(_BEAT_SECONDS)
