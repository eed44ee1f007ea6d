"""The Celery parent's half of the store: say that the worker lives, and what has become of its attempts."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from shared.card import ModelCard
from shared.errors import ArtifactError
from shared.ids import BatchId
from shared.names import Queue
from shared.store.schema import ANNOUNCEMENT_SECONDS
from shared.store.scripts import Script
from shared.store.transport import Argument, Transport

_ANNOUNCE: Final = Script.load("announce")
_REQUEUE: Final = Script.load("requeue")
_FORGET_DELIVERIES: Final = Script.load("forget_deliveries")
_REPORT_LOAD_FAILURE: Final = Script.load("report_load_failure")
_KEEP_ALIEN: Final = Script.load("keep_alien")
_KEPT_ALIENS: Final = 100
_KEPT_ALIENS_SECONDS: Final = 7 * 24 * 3600  # as a dead letter, by default
_FAILURE_SECONDS: Final = 60  # its supervisor has started it again by then, and it has said so again


class Lease(NamedTuple):
    """A batch that one of the worker's pool processes has claimed."""

    batch_id: BatchId
    pid: int
    is_wanted: bool
    """False once everybody who wanted its outcome has canceled."""


class AnnounceReply(NamedTuple):
    """What the store says when it is told that a worker lives."""

    n_waiting: int
    """Messages in the queues."""
    leases: Sequence[Lease]
    """This worker's."""


class LoadFailure(msgspec.Struct, frozen=True):
    """Why a worker could not load its model."""

    code: str
    remedy: str


class WorkerRegistry:
    """Tells the store that one worker lives, and when an attempt of its pool processes is over."""

    def __init__(self, transport: Transport[Any], worker: str, card: ModelCard, max_attempts: int) -> None:
        self._transport = transport
        self._worker = worker
        self._card = card.model_dump_json(by_alias=True)
        self._max_attempts = max_attempts
        self._is_first = True

    def announce(self, pool_processes: int) -> AnnounceReply:
        """Say that `pool_processes` of this worker can take a batch now; as long as that is believed, its leases last.

        Raises:
            BrokerUnavailable: the store cannot be reached.
        """
        # A worker that cannot load its model must not have the gateways validate against it.
        card = self._card if pool_processes else ""
        args: list[Argument] = [self._worker, pool_processes, ANNOUNCEMENT_SECONDS * 1000, card, int(self._is_first)]
        n_waiting, *leases = self._transport.run(_ANNOUNCE, args)
        self._is_first = self._is_first and not pool_processes
        fields = zip(leases[::3], leases[1::3], leases[2::3], strict=True)
        return AnnounceReply(
            n_waiting, [Lease(BatchId(batch_id.decode()), int(pid), bool(wanted)) for batch_id, pid, wanted in fields]
        )

    def requeue(self, batch_id: BatchId, reason: str) -> Queue | None:
        """End an attempt whose pool process cannot do so itself, or never came to it.

        Args:
            batch_id: of the batch; nothing happens where it is another worker's, or final.
            reason: how the attempt ended, for the dead letter that the batch may become.

        Returns:
            The batch's queue; None where there was no attempt to end.

        Raises:
            BrokerUnavailable, RecordIncompatible, StoreRefused: the attempt is still on record.
        """
        queue = self._transport.run(_REQUEUE, [batch_id, self._worker, reason, self._max_attempts])
        return None if queue is None else Queue(queue.decode())

    def forget_deliveries(self) -> None:
        """Drop kombu's notes of what an earlier connection of this worker took: the reconciler then misses it.

        Raises:
            BrokerUnavailable: the store cannot be reached.
        """
        self._transport.run(_FORGET_DELIVERIES, [self._worker])

    def keep_alien_message(self, entry: bytes) -> None:
        """Keep what is known of a message that was set aside, for an operator, among the latest hundred.

        Raises:
            BrokerUnavailable, StoreRefused: it is not kept.
        """
        self._transport.run(_KEEP_ALIEN, [entry, _KEPT_ALIENS, _KEPT_ALIENS_SECONDS])


def report_load_failure(transport: Transport[Any], error: ArtifactError) -> None:
    """Have the gateways say why there is no worker: this one is about to end.

    Raises:
        BrokerUnavailable: the store cannot be reached.
    """
    failure = LoadFailure(error.code, error.remedy)
    transport.run(_REPORT_LOAD_FAILURE, [msgspec.json.encode(failure), _FAILURE_SECONDS])
