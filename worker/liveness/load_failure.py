"""Reports to the gateways why a worker cannot load its model, before the worker exits."""

import structlog

from shared.errors import ArtifactError, BrokerUnavailable
from shared.store.blocking import BlockingTransport
from shared.store.transport import StoreRefused
from shared.store.workers import report_load_failure
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


def report(settings: WorkerSettings, error: ArtifactError) -> None:
    """Record the error's code, problem and remedy in the store, for a gateway's `/readyz`."""
    transport = BlockingTransport.with_one_retry(settings.redis_url.get_secret_value())
    try:
        report_load_failure(transport, error)
    except (BrokerUnavailable, StoreRefused) as fault:
        log.warning("could not report the load failure to the gateways", reason=str(fault))
    finally:
        transport.close()
