"""Has what nobody holds any more put back, and the culprit found of a batch that nobody survives.

The store does it, in single steps, whichever gateways ask (`shared/store/recovery.py`). A batch whose attempts are used
up is split into one for each of its predictions, and one that was alone is buried as a dead letter.
"""

import structlog

from api.metrics import GatewayMetrics
from shared.errors import BrokerUnavailable, RecordIncompatible
from shared.ids import BatchId
from shared.store.recovery import Recovery, Verdict
from shared.store.transport import StoreRefused

log = structlog.get_logger(__name__)


class Reconciler:
    """One look at a time."""

    def __init__(self, recovery: Recovery, metrics: GatewayMetrics) -> None:
        self._recovery = recovery
        self._metrics = metrics

    async def tick(self) -> None:
        """Look once; a broker that cannot be reached is looked at again at the next tick."""
        try:
            look = await self._recovery.look()
            self._metrics.reconciled(look.n_published, look.n_requeued)
            for batch_id in look.exhausted:
                await self._find_culprit(batch_id)
        except BrokerUnavailable:
            return
        if look.n_published or look.n_requeued:
            log.warning("put batches back", published_again=look.n_published, of_lost_workers=look.n_requeued)

    async def _find_culprit(self, batch_id: BatchId) -> None:
        try:
            verdict, queue = await self._recovery.find_culprit(batch_id)
        except (RecordIncompatible, StoreRefused) as error:
            log.error("could not find the culprit of a batch", batch=batch_id, reason=str(error))
            return
        if verdict is Verdict.SPLIT:
            self._metrics.split()
            log.warning("split a batch to find what ends its attempts", batch=batch_id)
        elif verdict is Verdict.BURIED:
            self._metrics.buried(queue)
            log.error("buried a batch as a dead letter", batch=batch_id)
