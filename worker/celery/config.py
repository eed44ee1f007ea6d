"""Celery's configuration, with the reason for every value that is not Celery's default."""

from typing import Any, Final

from kombu import Queue as KombuQueue

from shared.names import Queue
from shared.store.schema import Key
from worker.celery.alien_messages import AlienMessages
from worker.settings import WorkerSettings

_BROKER_TIMEOUT_SECONDS: Final = 1
_VISIBILITY_MARGIN_SECONDS: Final = 30


def celery_configuration(settings: WorkerSettings, name: str, alien_messages: AlienMessages) -> dict[str, Any]:
    """Return the configuration of the worker with the node name `name`."""
    return {
        "task_queues": [
            KombuQueue(queue.value, routing_key=queue.value) for queue in Queue if queue in settings.worker_queues
        ],
        "task_acks_late": True,  # a message is acknowledged when its task ends, not on delivery
        "task_soft_time_limit": settings.batch_soft_seconds,
        "task_time_limit": settings.batch_seconds,
        "task_ignore_result": True,  # results are in the store; Celery's backend reports "pending" for unknown ids
        "accept_content": ["json"],  # a message carries only an id; pickles are refused
        "worker_prefetch_multiplier": 2,  # one runs while the parent fetches the next: docs/decisions/0009
        "worker_proc_alive_timeout": settings.model_load_seconds,  # Celery's 4 s are too few for a large forest
        "worker_send_task_events": True,  # for Flower
        "broker_transport": "worker.celery.transport:BrokerTransport",  # kombu's, without a fault that ends workers
        # A batch keeps running while the broker restarts: the store accepts its outcome even if its message is lost.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # unlimited: a restarted worker would only retry as well
        "broker_transport_options": {
            "alien_messages": alien_messages,  # an option of BrokerTransport, not of kombu
            # When messages that Celery took and lost are redelivered: after longer than two consecutive batches take.
            "visibility_timeout": 2 * settings.batch_seconds + _VISIBILITY_MARGIN_SECONDS,
            "unacked_restore_throttle": 1,  # restore at every sweep; kombu's default is every tenth
            # One list per worker: it shows the reconciler whether a living worker has a message or it is lost.
            "unacked_key": Key.UNACKED + name,
            "unacked_index_key": Key.UNACKED_INDEX + name,
            "unacked_mutex_key": f"{Key.UNACKED}mutex:{name}",
            "queue_order_strategy": "priority",  # `interactive` before `bulk`
            # An unresponsive connection is closed after this long; no command of a worker takes longer.
            "socket_timeout": _BROKER_TIMEOUT_SECONDS,
            "socket_connect_timeout": _BROKER_TIMEOUT_SECONDS,
            "health_check_interval": _BROKER_TIMEOUT_SECONDS,
            "socket_keepalive": True,
        },
    }
