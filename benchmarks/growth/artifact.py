"""The artifact's size against the worker's start, its memory and one prediction."""

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

from benchmarks.growth.announced import wait_for_worker
from benchmarks.growth.caller import Caller, request
from benchmarks.growth.forests import RECIPES, Recipe, build
from benchmarks.growth.results import Artifact, Growth
from benchmarks.serving import sepal
from benchmarks.serving.environments import FOLDER
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.question import Question
from benchmarks.serving.resources import memory_mib
from benchmarks.serving.running import Running
from benchmarks.serving.systems import Program, Site, plain_body

_PREDICTIONS: Final = 30
_PREDICT_MS: Final = re.compile(r"predict;dur=([0-9.]+)")


def measure(results: Growth, question: Question, rounds: int) -> None:
    """Make what is missing, then start Sepal with each artifact in every round."""
    models = {recipe: build(recipe) for recipe in RECIPES}
    for number in range(rounds):
        first = number % len(RECIPES)
        for recipe in (*RECIPES[first:], *RECIPES[:first]):
            try:
                results.artifact.append(_figure(recipe, models[recipe], question, number))
            except (SystemFailed, OSError, redis.RedisError, psutil.Error) as error:
                results.note("artifact", number, recipe.name, error)


class _Start:
    """Starts the worker alone, and looks at the clock until it is there; only then the gateway."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.worker: psutil.Process | None = None

    def programs(self, site: Site) -> Iterator[Program]:
        """Give out the programs, one by one."""
        for program in sepal.programs(site):
            if program.name == "flower":
                continue
            began = time.monotonic()
            yield program
            if program.name == "worker":
                self.worker = wait_for_worker(site)
                self.seconds = time.monotonic() - began


def _figure(recipe: Recipe, model: Path, question: Question, number: int) -> Artifact:
    start = _Start()
    # The forests answer as they please: there is nothing to compare.
    system = dataclasses.replace(sepal.SEPAL, programs=start.programs, read=lambda _: None)
    asked = Question(model, question.pipeline)
    with Running(system, Path(sys.executable), FOLDER / "run" / "artifact", asked) as running:
        predict_ms = _predict_ms(running.site.port, asked)
        assert start.worker is not None
        memory = memory_mib([start.worker]), memory_mib(start.worker.children())
    figure = Artifact(number, recipe.name, model.stat().st_size, start.seconds, *memory, predict_ms)
    print(
        f"round {number + 1}  {recipe.name:12} {figure.size / 1e6:9.3f} MB  start{figure.start_seconds:7.2f} s"
        f"  parent{figure.parent_mib:6.0f} MiB  pool{figure.pool_mib:6.0f} MiB  predict{figure.predict_ms:7.2f} ms",
        flush=True,
    )
    return figure


def _predict_ms(port: int, question: Question) -> float:
    raw = request("POST", "/predict", plain_body(question.rows(1)))
    samples = []
    with Caller(port) as caller:
        for _ in range(_PREDICTIONS):
            reply, _ms = caller.timed(raw, 200)
            found = _PREDICT_MS.search(reply.headers.get("server-timing", ""))
            if found is None:
                raise SystemFailed("an answer without its Server-Timing")
            samples.append(float(found[1]))
    return statistics.median(samples)
