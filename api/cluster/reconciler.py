"""Publishes lost batches again, and isolates the poison in exhausted batches.

Any number of gateways can do this at the same time: each step is one script in the store (`shared/store/recovery.py`).
An exhausted batch is split into one child for each of its predictions; a prediction that uses up its attempts alone
becomes a dead letter.
"""

import structlog

from api.telemetry.metrics import GatewayMetrics
from shared.errors import BrokerUnavailable, RecordIncompatible
from shared.ids import BatchId
from shared.store.recovery import IsolationResult, Recovery
from shared.store.transport import StoreRefused

log = structlog.get_logger(__name__)


class Reconciler:
    """Runs the store's recovery scripts."""

    def __init__(self, recovery: Recovery, metrics: GatewayMetrics) -> None:
        self._recovery = recovery
        self._metrics = metrics

    async def tick(self) -> None:
        """Reconcile, unless another gateway has just done so; called once a second."""
        try:
            found = await self._recovery.reconcile()
            self._metrics.count_reconciled(found.n_published, found.n_requeued)
            for batch_id in found.exhausted:
                await self._isolate_poison(batch_id)
        except BrokerUnavailable:
            return
        if found.n_published or found.n_requeued:
            log.warning("recovered batches", published_again=found.n_published, of_lost_workers=found.n_requeued)

    async def _isolate_poison(self, batch_id: BatchId) -> None:
        try:
            verdict, queue = await self._recovery.isolate_poison(batch_id)
        except (RecordIncompatible, StoreRefused) as error:
            log.error("could not split or dead-letter an exhausted batch", batch=batch_id, reason=str(error))
            return
        if verdict is IsolationResult.SPLIT:
            self._metrics.count_split()
            log.warning("split an exhausted batch", batch=batch_id)
        elif verdict is IsolationResult.DEAD_LETTERED:
            self._metrics.count_dead_letter(queue)
            log.error("moved a batch to the dead letters", batch=batch_id)
        elif verdict is IsolationResult.GIVEN_UP:
            log.error("gave up on a row of a bulk prediction after its last attempt", slice=batch_id)
