"""Finds the worker's processes, once it has announced itself in the store."""

import time
from typing import Final

import psutil
import redis

from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.systems import Site
from shared.store.schema import Key

_LOOK_SECONDS: Final = 0.02  # a worker looks at its own pool ten times less often
_PATIENCE_SECONDS: Final = 120


def wait_for_worker(site: Site) -> psutil.Process:
    """Wait until a worker announces a pool process that holds the model; returns Celery's parent.

    Raises:
        SystemFailed: none does.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with redis.Redis(port=site.redis_port, decode_responses=True) as client:
        while time.monotonic() < deadline:
            for announcement in client.hgetall(Key.WORKERS).values():
                if int(announcement.split()[1]) > 0:
                    return psutil.Process(_listener(site.worker_http_port))
            time.sleep(_LOOK_SECONDS)
    raise SystemFailed(f"after {_PATIENCE_SECONDS} s no worker has loaded its model")


def _listener(port: int) -> int:
    """The process that listens on a port: Celery's parent, on that of the worker's metrics."""
    for each in psutil.net_connections("tcp"):
        if each.pid and each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port:
            return each.pid
    raise SystemFailed(f"no worker listens on port {port}")
