"""Has the gateways say why there is no worker, before a worker that cannot serve its model ends."""

import structlog

from shared.errors import ArtifactError, BrokerUnavailable
from shared.store.blocking import BlockingTransport
from shared.store.transport import StoreRefused
from shared.store.workers import report_load_failure
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


def report(settings: WorkerSettings, error: ArtifactError) -> None:
    """Record the code and the remedy in the store; where that cannot be reached, this process's log has to do."""
    transport = BlockingTransport.failing_fast(settings.redis_url.get_secret_value())
    try:
        report_load_failure(transport, error)
    except (BrokerUnavailable, StoreRefused) as fault:
        log.warning("could not tell the gateways why there is no worker", reason=str(fault))
    finally:
        transport.close()
