"""Celery's configuration; every value that is not Celery's default has its reason beside it."""

from typing import Any, Final

from kombu import Queue as KombuQueue

from shared.names import Queue
from shared.store.schema import Key
from worker.celery.alien_messages import AlienMessages
from worker.settings import WorkerSettings

_SILENCE_SECONDS: Final = 1
_MARGIN_SECONDS: Final = 30


def celery_configuration(settings: WorkerSettings, name: str, alien_messages: AlienMessages) -> dict[str, Any]:
    """Configure one worker, by its settings and its node name."""
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
        "broker_transport": "worker.celery.transport:BrokerTransport",  # kombu's, less a fault that ends workers
        # A batch outlives the broker's restart: the store takes its outcome, whatever became of its message.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # for ever: the supervisor could only do the same
        "broker_transport_options": {
            "alien_messages": alien_messages,  # ours, not kombu's
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
