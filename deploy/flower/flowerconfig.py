"""Flower's configuration: `python -m celery flower --conf=deploy/flower/flowerconfig.py`.

Flower executes this file and takes every name in it that is one of its options. The address and the port are given on
the command line, the broker in CELERY_BROKER_URL.
"""

import sys
from typing import Any

from celery import current_app
from kombu import Queue as KombuQueue
from pydantic import ValidationError

from shared.names import Queue
from shared.settings import FlowerSettings

try:
    _settings = FlowerSettings()
except ValidationError as _error:
    _reasons = "; ".join(f"SEPAL_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in _error.errors())
    sys.exit(f"flower: never without a password. {_reasons}")

basic_auth = [f"{_settings.flower_user}:{_settings.flower_password.get_secret_value()}"]
read_only = True  # it shows; what is done to a worker or a batch is done by its supervisor or through the gateway

tasks_columns = "uuid,kwargs,state,runtime,received,worker"


def format_task(task: Any) -> Any:
    """Fit a batch's queue and size, which its message shows as keyword arguments, into Flower's column."""
    task.kwargs = (task.kwargs or "").strip("{}").replace("'", "")
    return task


# The latest batches. A hundred thousand otherwise, which take 600 MB: docs/benchmarks/flower.md.
max_tasks = 5_000
max_workers = 1_000
# A worker that is gone is offline after two heartbeats, 4 s. The one after it has another name, so it never comes back.
purge_offline_workers = 15

logging = "error"

# Its broker page: Flower asks workers for their queues once, when it starts, and perhaps there is none yet.
current_app.conf.task_default_queue = Queue.INTERACTIVE.value
current_app.conf.task_queues = [KombuQueue(queue.value) for queue in Queue]
