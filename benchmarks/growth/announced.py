"""Finds the worker's processes by what the worker announces in the store."""

import time
from typing import Final

import psutil
import redis

from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.systems import Site
from shared.record import WORKERS_KEY

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
            for name, announcement in client.hgetall(WORKERS_KEY).items():
                if int(announcement.split()[1]) > 0:
                    return psutil.Process(_pid(name))
            time.sleep(_LOOK_SECONDS)
    raise SystemFailed(f"after {_PATIENCE_SECONDS} s no worker has loaded its model")


def _pid(name: str) -> int:
    """A worker's name is `worker-{pid}@{host}`."""
    return int(name.partition("@")[0].removeprefix("worker-"))
