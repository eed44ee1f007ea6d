"""Waits for a worker's announcement in the store, and finds its process."""

import time
from typing import Final

import psutil
import redis

from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.systems import Site
from shared.store.schema import Key

_POLL_SECONDS: Final = 0.02  # a worker checks its pool every 0.2 s
_TIMEOUT_SECONDS: Final = 120


def wait_for_worker(site: Site) -> psutil.Process:
    """Wait until a worker announces a loaded pool process, and return the worker's Celery parent.

    Raises:
        SystemFailed: no worker announces one in time.
    """
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with redis.Redis(port=site.redis_port, decode_responses=True) as client:
        while time.monotonic() < deadline:
            for announcement in client.hgetall(Key.WORKERS).values():
                if int(announcement.split()[1]) > 0:
                    return psutil.Process(_find_listener(site.worker_http_port))
            time.sleep(_POLL_SECONDS)
    raise SystemFailed(f"after {_TIMEOUT_SECONDS} s no worker has loaded its model")


def _find_listener(port: int) -> int:
    """Return the process that listens on a port; on the worker's metrics port, it is the Celery parent."""
    for each in psutil.net_connections("tcp"):
        if each.pid and each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port:
            return each.pid
    raise SystemFailed(f"no worker listens on port {port}")
