"""The Celery parent's half of the store: say that the worker lives, and what has become of its attempts."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from redis import Redis

from shared.card import ModelCard
from shared.ids import BatchId
from shared.names import Loss, Queue
from shared.record import ANNOUNCEMENT_SECONDS, MODEL_KEY
from shared.scripts import script
from worker.metrics import WorkerMetrics
from worker.reports import Report

_TIMEOUT_SECONDS: Final = 1


class Lease(NamedTuple):
    """A batch that one of the worker's pool processes has claimed."""

    batch_id: BatchId
    pid: int
    is_wanted: bool
    """False once everybody who wanted its outcome has canceled."""


class Holdings(NamedTuple):
    """What the store says when it is told that a worker lives."""

    n_waiting: int
    """Messages in the queues."""
    leases: Sequence[Lease]
    """This worker's."""


class Announcer:
    """Tells the store that this worker lives, and when an attempt of its pool processes is over."""

    def __init__(self, url: str, worker: str, card: ModelCard, max_attempts: int, metrics: WorkerMetrics) -> None:
        # No retries and a short patience: this runs on the consumer's event loop.
        self._client = Redis.from_url(url, retry=None, socket_timeout=_TIMEOUT_SECONDS)
        self._announce = self._client.register_script(script("announce"))
        self._give_back = self._client.register_script(script("give_back"))
        self._worker = worker
        self._card = card.model_dump_json()
        self._max_attempts = max_attempts
        self._metrics = metrics
        self._first = True

    def announce(self, pool_processes: int) -> Holdings:
        """Say that `pool_processes` of this worker can take a batch now; as long as that is believed, its leases last.

        Raises:
            RedisError: the store cannot be reached.
        """
        # A worker that cannot load its model must not have the gateways validate against it.
        card = self._card if pool_processes else ""
        n_waiting, *leases = self._announce(
            keys=[MODEL_KEY, *(queue.value for queue in Queue)],
            args=[self._worker, pool_processes, ANNOUNCEMENT_SECONDS * 1000, card, int(self._first)],
        )
        self._first = self._first and not pool_processes
        fields = zip(leases[::3], leases[1::3], leases[2::3], strict=True)
        return Holdings(
            n_waiting, [Lease(BatchId(batch_id.decode()), int(pid), bool(wanted)) for batch_id, pid, wanted in fields]
        )

    def give_back(self, batch_id: BatchId, loss: Loss, reason: str) -> None:
        """End an attempt whose pool process cannot do so itself, or never came to it.

        Args:
            batch_id: of the batch; nothing happens where it is another worker's, or final.
            loss: how it ended.
            reason: the same in words, for the dead letter that it may become.

        Raises:
            RedisError: the store cannot be reached.
        """
        queue = self._give_back(keys=[], args=[batch_id, self._worker, reason, self._max_attempts])
        if queue is not None:
            self._metrics.take(Report(Queue(queue.decode()), loss))

    def forget_deliveries(self, keys: Sequence[str]) -> None:
        """Drop kombu's notes of what an earlier connection of this worker took: the reconciler then misses it."""
        self._client.delete(*keys)
