"""Composes a worker: settings and a verified card in, a Celery app that serves them out."""

from typing import Any

import structlog
from billiard import pool
from celery import Celery
from celery.platforms import EX_OK
from celery.signals import setup_logging
from celery.worker import state
from kombu import Queue as KombuQueue
from prometheus_client import CollectorRegistry

from shared.card import ModelCard
from shared.errors import BrokerUnavailable, RecordIncompatible
from shared.exposition import Exposition
from shared.ids import BatchId
from shared.log import configure_logging
from shared.names import Loss, Queue
from shared.store.announcements import Announcements
from shared.store.blocking import BlockingTransport
from shared.store.schema import Key
from shared.store.transport import StoreRefused
from worker.aliens import AlienMessages
from worker.heartbeat import Heartbeat, LoadedProcesses
from worker.http import serve
from worker.metrics import WorkerCollector, WorkerMetrics
from worker.reports import Report, Reports
from worker.settings import WorkerSettings
from worker.steps import EventsStep, HandOverStep, heartbeat_step, stop_worker
from worker.tasks import Pool, register
from worker.transport import Connection, broker_url
from worker.watch import Requeue, Watch

_SILENCE_SECONDS = 1
_MARGIN_SECONDS = 30
_LAST_RESULT_TRIES = 5  # a tenth of a second each

log = structlog.get_logger(__name__)


def create_app(settings: WorkerSettings, card: ModelCard, name: str) -> Celery:
    """Build the worker's Celery app.

    Args:
        settings: read once, by the caller.
        card: of the model directory, verified.
        name: the worker's node name, under which it announces itself.
    """
    app = Celery("sepal", broker=broker_url(settings.redis_url.get_secret_value()), set_as_current=False)
    app.amqp.Connection = Connection
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    transport = BlockingTransport.brisk(settings.redis_url.get_secret_value())
    announcements = Announcements(transport, name, card, settings.max_attempts)
    aliens = AlienMessages(metrics.count_alien, announcements.keep_alien)
    app.conf.update(celery_configuration(settings, name, aliens))
    loaded = LoadedProcesses()
    requeue = _requeue(announcements, metrics)
    reports = Reports()
    register(app, Pool(settings, name, loaded, reports), requeue)
    heartbeat = Heartbeat(announcements, loaded, Watch(requeue, stop_worker))

    def count() -> None:
        for report in reports.read():
            metrics.take(report)

    if settings.worker_http_port is not None:
        exposition = Exposition(registry, WorkerCollector(card.ref, lambda: heartbeat.n_loaded))
        serve(settings.worker_http_host, settings.worker_http_port, exposition, lambda: heartbeat.is_believed)
    step = heartbeat_step(heartbeat, count, announcements.forget_deliveries, requeue, lambda: aliens.n_seen)
    app.steps["consumer"].update([EventsStep, HandOverStep, step])

    @setup_logging.connect(weak=False)
    def configure(**_: object) -> None:
        configure_logging(settings.log_json, settings.log_level)

    return app


def consume(app: Celery, name: str, processes: int) -> int:
    """Run a worker until it is told to stop, or stops itself; returns the status to exit with."""
    # A pool process that is told to stop first waits until its parent has read its last result; where the parent reads
    # no more, that would be half a minute (billiard 4.3). Nothing is in it: outcomes are in the store.
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _LAST_RESULT_TRIES
    app.worker_main(
        [
            "--quiet",
            "worker",
            f"--hostname={name}",
            f"--concurrency={processes}",
            "--loglevel=INFO",
            # Nothing here asks the other workers anything, and asking takes a second at every start.
            "--without-mingle",
            "--without-gossip",
        ]
    )
    return int(state.should_terminate or EX_OK)


def _requeue(announcements: Announcements, metrics: WorkerMetrics) -> Requeue:
    """Have a batch published again that this worker can do nothing for."""

    def requeue(batch_id: BatchId, loss: Loss, reason: str) -> None:
        try:
            queue = announcements.requeue(batch_id, reason)
        except (BrokerUnavailable, RecordIncompatible, StoreRefused) as error:  # the watch will find it
            log.warning("could not requeue a batch", batch=batch_id, reason=str(error))
        else:
            if queue is not None:
                metrics.take(Report(queue, loss))

    return requeue


def celery_configuration(settings: WorkerSettings, name: str, aliens: AlienMessages) -> dict[str, Any]:
    """What Celery is told; every line that is not Celery's default has its reason beside it."""
    return {
        "task_queues": [KombuQueue(queue.value, routing_key=queue.value) for queue in Queue],
        "task_acks_late": True,  # a message is acknowledged by the outcome, not by its arrival
        "task_soft_time_limit": settings.batch_soft_seconds,
        "task_time_limit": settings.batch_seconds,
        "task_ignore_result": True,  # results live in the store; Celery's backend answers "pending" for unknown ids
        "accept_content": ["json"],  # a message is an id: nothing of it is ever unpickled
        "worker_prefetch_multiplier": 2,  # one runs while the parent fetches the next: docs/decisions/0009
        "worker_proc_alive_timeout": settings.model_load_seconds,  # 4 s otherwise: less than a large forest needs
        "worker_send_task_events": True,  # Flower
        "broker_transport": "worker.transport:Transport",  # kombu's, less a fault that ends workers
        # A batch outlives the broker's restart: the store takes its outcome, whatever became of its message.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # for ever: the supervisor could only do the same
        "broker_transport_options": {
            "aliens": aliens,  # ours, not kombu's
            # What Celery took and lost inside itself: two batches, one behind the other, take no longer.
            "visibility_timeout": 2 * settings.batch_seconds + _MARGIN_SECONDS,
            "unacked_restore_throttle": 1,  # every sweep counts; every tenth otherwise
            # Notes of its own: whether a living worker has a message tells the reconciler whether it is lost.
            "unacked_key": Key.UNACKED + name,
            "unacked_index_key": Key.UNACKED_INDEX + name,
            "unacked_mutex_key": f"{Key.UNACKED}mutex:{name}",
            "queue_order_strategy": "priority",  # a slice of a large prediction never goes before a person
            # A connection that swallows everything is given up after this long; nothing here takes longer.
            "socket_timeout": _SILENCE_SECONDS,
            "socket_connect_timeout": _SILENCE_SECONDS,
            "health_check_interval": _SILENCE_SECONDS,
            "socket_keepalive": True,
        },
    }
