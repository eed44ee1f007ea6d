"""Composes a worker's Celery app from its settings and a verified model card."""

from typing import Final

import structlog
from billiard import pool
from celery import Celery
from celery.platforms import EX_FAILURE, EX_OK
from celery.signals import setup_logging
from celery.worker import state
from prometheus_client import CollectorRegistry

from shared.card import ModelCard
from shared.errors import BrokerUnavailable, RecordIncompatible
from shared.ids import BatchId
from shared.log import configure_logging
from shared.names import LostReason
from shared.store.blocking import BlockingTransport
from shared.store.transport import StoreRefused
from shared.store.workers import WorkerRegistry
from shared.telemetry.exposition import Exposition
from worker.celery.alien_messages import AlienMessages
from worker.celery.config import celery_configuration
from worker.celery.steps import EventsStep, ImmediateWriteStep, make_heartbeat_step, stop_worker
from worker.celery.task import PoolState, register_task
from worker.celery.transport import BrokerConnection, broker_url
from worker.liveness.heartbeat import Heartbeat
from worker.liveness.probes import serve_probes
from worker.liveness.watchdog import Requeue, Watchdog
from worker.pool.pipe import PoolPipe
from worker.settings import WorkerSettings
from worker.telemetry.metrics import AttemptReport, WorkerCollector, WorkerMetrics

_LAST_RESULT_RETRIES: Final = 5  # at intervals of 0.1 s

log = structlog.get_logger(__name__)


def create_app(settings: WorkerSettings, card: ModelCard, name: str, pipe: PoolPipe) -> Celery:
    """Build the worker's Celery app.

    Args:
        settings: the worker's settings.
        card: the verified card of the model directory.
        name: the worker's Celery node name, which it also announces.
        pipe: receives the reports of its pool processes.
    """
    app = Celery("sepal", broker=broker_url(settings.redis_url.get_secret_value()), set_as_current=False)
    app.amqp.Connection = BrokerConnection
    metrics_registry = CollectorRegistry()
    metrics = WorkerMetrics(metrics_registry)
    transport = BlockingTransport.with_one_retry(settings.redis_url.get_secret_value())
    registry = WorkerRegistry(transport, name, card, settings.max_attempts, settings.worker_queues)
    alien_messages = AlienMessages(metrics.count_alien_message, registry.keep_alien_message)
    app.conf.update(celery_configuration(settings, name, alien_messages))
    requeue = _make_requeue(registry, metrics)
    register_task(app, PoolState(settings, name, pipe), requeue)
    heartbeat = Heartbeat(registry, Watchdog(requeue, stop_worker))
    if settings.worker_http_port is not None:
        exposition = Exposition(metrics_registry, WorkerCollector(card.ref, lambda: heartbeat.n_loaded))
        serve_probes(settings.worker_http_host, settings.worker_http_port, exposition, lambda: heartbeat.is_announced)
    step = make_heartbeat_step(
        heartbeat, pipe, metrics, registry.forget_deliveries, requeue, lambda: alien_messages.n_seen
    )
    app.steps["consumer"].update([EventsStep, ImmediateWriteStep, step])

    @setup_logging.connect(weak=False)
    def configure(**_: object) -> None:
        configure_logging(settings.log_json, settings.log_level)

    return app


def consume(app: Celery, name: str, n_processes: int, pipe: PoolPipe) -> int:
    """Run a worker until it stops; return its exit status, a failure if its model or its watchdog stopped it."""
    # A stopping pool process waits until its parent has read its last result: for 30 s if the parent no longer reads
    # (billiard 4.3). Sepal does not use that result: outcomes are in the store.
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _LAST_RESULT_RETRIES
    # Celery's command line would import 300 more modules: a shell, and Flower if it is installed.
    app.Worker(
        hostname=name,
        concurrency=n_processes,
        loglevel="INFO",
        quiet=True,
        # Workers exchange no state, and `mingle` delays every start by a second.
        without_mingle=True,
        without_gossip=True,
    ).start()
    return int(state.should_terminate or (EX_FAILURE if pipe.has_load_failure() else EX_OK))


def _make_requeue(registry: WorkerRegistry, metrics: WorkerMetrics) -> Requeue:
    """Make the function that requeues batches in the parent process."""

    def requeue(batch_id: BatchId, reason: LostReason, detail: str) -> None:
        try:
            queue = registry.requeue(batch_id, detail)
        except (BrokerUnavailable, RecordIncompatible, StoreRefused) as error:  # the watchdog retries
            log.warning("could not requeue a batch", batch=batch_id, reason=str(error))
        else:
            if queue is not None:
                metrics.count_attempt(AttemptReport(queue, reason))

    return requeue
