"""Composes a worker: settings and a verified card in, a Celery app that serves them out."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu import Queue as KombuQueue

from shared.card import ModelCard
from shared.log import configure_logging
from shared.names import Queue
from worker.heartbeat import LIFETIME_SECONDS, Heartbeat, LoadedProcesses
from worker.settings import WorkerSettings
from worker.steps import EventsStep, heartbeat_step
from worker.store import Announcer
from worker.tasks import Pool, register
from worker.transport import broker_url

# kombu sweeps for messages past their visibility timeout at this interval; each sweep is two short commands.
_SWEEP_SECONDS = 5


def create_app(settings: WorkerSettings, card: ModelCard, name: str) -> Celery:
    """Build the worker's Celery app.

    Args:
        settings: read once, by the caller.
        card: of the model directory, verified.
        name: the worker's node name, under which it announces itself.
    """
    app = Celery("sepal", broker=broker_url(settings.redis_url.get_secret_value()), set_as_current=False)
    app.conf.update(celery_configuration(settings))
    loaded = LoadedProcesses()
    register(app, Pool(settings, loaded))
    announcer = Announcer(settings.redis_url.get_secret_value(), name, card, LIFETIME_SECONDS)
    app.steps["consumer"].update([EventsStep, heartbeat_step(Heartbeat(announcer, loaded))])

    @setup_logging.connect(weak=False)
    def configure(**_: object) -> None:
        configure_logging(settings.log_json)

    return app


def celery_configuration(settings: WorkerSettings) -> dict[str, Any]:
    """What Celery is told; every line that is not Celery's default has its reason beside it."""
    return {
        "task_queues": [KombuQueue(queue.value, routing_key=queue.value) for queue in Queue],
        "task_acks_late": True,  # a message is acknowledged by the outcome, not by its arrival
        "task_reject_on_worker_lost": True,  # a killed pool process gives its batch back at once
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
            "visibility_timeout": settings.visibility_timeout_seconds,
            "unacked_restore_interval": _SWEEP_SECONDS,
            "unacked_restore_throttle": 1,  # every sweep counts; every tenth otherwise
            "queue_order_strategy": "priority",  # a slice of a large prediction never goes before a person
            "socket_timeout": 10,  # without it, a half-open connection is never given up
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
    }
