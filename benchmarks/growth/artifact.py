"""Measures how a worker's start time, its memory and a prediction depend on the size of the artifact."""

import dataclasses
import re
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import redis

from benchmarks.growth.announcement import wait_for_worker
from benchmarks.growth.client import Client, encode_request
from benchmarks.growth.forests import RECIPES, Recipe, build
from benchmarks.growth.results import ArtifactFigures, GrowthResults
from benchmarks.serving import sepal
from benchmarks.serving.environments import FOLDER
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.resources import memory_mib
from benchmarks.serving.running import Running
from benchmarks.serving.systems import Program, Site, encode_plain_body
from benchmarks.serving.workload import Workload

_PREDICTIONS_PER_START: Final = 30
_PREDICT_MS: Final = re.compile(r"predict;dur=([0-9.]+)")


def measure(results: GrowthResults, workload: Workload, rounds: int) -> None:
    """Build the missing artifacts, then start Sepal with each artifact in every round."""
    models = {recipe: build(recipe) for recipe in RECIPES}
    for number in range(rounds):
        first = number % len(RECIPES)
        for recipe in (*RECIPES[first:], *RECIPES[:first]):
            try:
                results.artifact.append(_measure_artifact(recipe, models[recipe], workload, number))
            except (SystemFailed, OSError, redis.RedisError, psutil.Error) as error:
                results.record_failure("artifact", number, recipe.name, error)


class _TimedStart:
    """Starts the worker, measures the time until its announcement, and then starts the gateway."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.worker: psutil.Process | None = None

    def programs(self, site: Site) -> Iterator[Program]:
        """Yield the programs in start order."""
        for program in sepal.programs(site):
            if program.name == "flower":
                continue
            began = time.monotonic()
            yield program
            if program.name == "worker":
                self.worker = wait_for_worker(site)
                self.seconds = time.monotonic() - began


def _measure_artifact(recipe: Recipe, model: Path, workload: Workload, number: int) -> ArtifactFigures:
    start = _TimedStart()
    # The forests are trained on random labels: their predictions are not compared.
    system = dataclasses.replace(sepal.SEPAL, programs=start.programs, read=lambda _: None)
    workload = dataclasses.replace(workload, model=model)
    with Running(system, Path(sys.executable), FOLDER / "run" / "artifact", workload) as running:
        predict_ms = _median_predict_ms(running.site.port, workload)
        assert start.worker is not None
        memory = memory_mib([start.worker]), memory_mib(start.worker.children())
    figure = ArtifactFigures(number, recipe.name, model.stat().st_size, start.seconds, *memory, predict_ms)
    print(
        f"round {number + 1}  {recipe.name:12} {figure.size / 1e6:9.3f} MB  start{figure.start_seconds:7.2f} s"
        f"  parent{figure.parent_mib:6.0f} MiB  pool{figure.pool_mib:6.0f} MiB  predict{figure.predict_ms:7.2f} ms",
        flush=True,
    )
    return figure


def _median_predict_ms(port: int, workload: Workload) -> float:
    raw = encode_request("POST", "/predict", encode_plain_body(workload.rows(1)))
    samples = []
    with Client(port) as client:
        for _ in range(_PREDICTIONS_PER_START):
            response, _ms = client.time_request(raw, 200)
            found = _PREDICT_MS.search(response.headers.get("server-timing", ""))
            if found is None:
                raise SystemFailed("an HTTP response has no Server-Timing")
            samples.append(float(found[1]))
    return statistics.median(samples)
