"""The store's methods for the parent of a worker: announces it, and ends attempts of its pool processes."""

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
_MAX_ALIEN_MESSAGES: Final = 100
_ALIEN_MESSAGE_SECONDS: Final = 7 * 24 * 3600  # the default retention of a dead letter
_LOAD_FAILURE_SECONDS: Final = 60  # a supervisor restarts the worker sooner, and the worker reports again


class Lease(NamedTuple):
    """A batch that one of the worker's pool processes has claimed."""

    batch_id: BatchId
    pid: int
    is_wanted: bool
    """Whether the outcome is needed; False once all clients have canceled."""


class AnnounceReply(NamedTuple):
    """The store's reply to a worker's announcement."""

    n_waiting: int
    """Number of messages in the queues of the worker."""
    leases: Sequence[Lease]
    """The leases of this worker."""


class LoadFailure(msgspec.Struct, frozen=True):
    """Why a worker could not load its model."""

    code: str
    remedy: str
    problem: str = ""  # empty from workers of earlier versions

    @property
    def reason(self) -> str:
        """The problem and the remedy, as sentences."""
        return f"{self.problem}. {self.remedy}" if self.problem else self.remedy


class WorkerRegistry:
    """The worker registry: announces one worker, and ends attempts of its pool processes."""

    def __init__(
        self,
        transport: Transport[Any],
        worker: str,
        card: ModelCard,
        max_attempts: int,
        queues: Sequence[Queue] = tuple(Queue),
    ) -> None:
        self._transport = transport
        self._worker = worker
        self._card = card.model_dump_json(by_alias=True)
        self._max_attempts = max_attempts
        self._queues = ",".join(queues)
        self._is_first = True

    def announce(self, n_loaded: int) -> AnnounceReply:
        """Announce the worker and its number of loaded pool processes; this also extends its leases.

        Raises:
            BrokerUnavailable: the store is unavailable.
        """
        # Gateways validate rows against the announced card, so a worker announces it only once its model is loaded.
        card = self._card if n_loaded else ""
        args: list[Argument] = [self._worker, n_loaded, ANNOUNCEMENT_SECONDS * 1000, card, int(self._is_first)]
        args.append(self._queues)
        n_waiting, *leases = self._transport.run(_ANNOUNCE, args)
        self._is_first = self._is_first and not n_loaded
        fields = zip(leases[::3], leases[1::3], leases[2::3], strict=True)
        return AnnounceReply(
            n_waiting, [Lease(BatchId(batch_id.decode()), int(pid), bool(wanted)) for batch_id, pid, wanted in fields]
        )

    def requeue(self, batch_id: BatchId, reason: str) -> Queue | None:
        """End an attempt that its pool process cannot end itself; publish the batch again if it is still queued.

        Args:
            batch_id: the id of the batch; it is not changed if another worker has claimed it, or it is final.
            reason: how the attempt ended, for a dead letter.

        Returns:
            The batch's queue; None if no attempt at it was running.

        Raises:
            BrokerUnavailable, RecordIncompatible, StoreRefused: the attempt is still recorded.
        """
        queue = self._transport.run(_REQUEUE, [batch_id, self._worker, reason, self._max_attempts])
        return None if queue is None else Queue(queue.decode())

    def forget_deliveries(self) -> None:
        """Delete kombu's list of the messages of an earlier connection: the reconciler then publishes them again.

        Raises:
            BrokerUnavailable: the store is unavailable.
        """
        self._transport.run(_FORGET_DELIVERIES, [self._worker])

    def keep_alien_message(self, entry: bytes) -> None:
        """Keep the description of an alien message for operators, among the latest hundred.

        Raises:
            BrokerUnavailable, StoreRefused: the description is not kept.
        """
        self._transport.run(_KEEP_ALIEN, [entry, _MAX_ALIEN_MESSAGES, _ALIEN_MESSAGE_SECONDS])


def report_load_failure(transport: Transport[Any], error: ArtifactError) -> None:
    """Report why this worker cannot load its model, for `/readyz`.

    Raises:
        BrokerUnavailable: the store is unavailable.
    """
    failure = LoadFailure(error.code, error.remedy, error.problem)
    transport.run(_REPORT_LOAD_FAILURE, [msgspec.json.encode(failure), _LOAD_FAILURE_SECONDS])
