"""Flower's configuration: `python -m celery flower --conf=deploy/flower/flowerconfig.py`.

Flower executes this file and uses each variable that has the name of one of its options. The command line sets the
address and the port, CELERY_BROKER_URL the broker.
"""

import sys
from typing import Any

from flower.views import BaseHandler
from pydantic import ValidationError

from shared.names import Queue
from shared.settings import FlowerSettings

try:
    _settings = FlowerSettings()
except ValidationError as _error:
    _reasons = "; ".join(f"SEPAL_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in _error.errors())
    sys.exit(f"flower: refusing to start without a password. {_reasons}")

basic_auth = [f"{_settings.flower_user}:{_settings.flower_password.get_secret_value()}"]
read_only = True  # workers are controlled by their supervisor, predictions through the gateway

tasks_columns = "uuid,kwargs,state,runtime,received,worker"


def format_task(task: Any) -> Any:
    """Shorten the queue and size of a batch, which the message shows as keyword arguments, to fit Flower's column."""
    task.kwargs = (task.kwargs or "").strip("{}").replace("'", "")
    return task


# The number of most recent batches that Flower keeps. The default, 100,000, takes 600 MB: docs/benchmarks/flower.md.
max_tasks = 5_000
max_workers = 1_000
# Seconds. A worker that ended is shown as offline after two heartbeats (4 s). Its successor has another name.
purge_offline_workers = 15

logging = "error"


def _queue_names(_: BaseHandler) -> list[str]:
    """Return all queues. Flower asks workers for them only when it starts, when some may not have started yet."""
    return sorted(queue.value for queue in Queue)


BaseHandler.get_active_queue_names = _queue_names
