"""Measures Flower's memory while Sepal runs 100,000 batches.

    python -m benchmarks.flower [--batches 100000] [--max-tasks 5000]

Sepal runs as `make run` starts it. Four connections send single rows, so that nearly every row is a batch. After each
slice of load the pages of workers and tasks are requested, as an open browser does. Results: docs/benchmarks/flower.md.
"""

import argparse
import dataclasses
import os
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx

from benchmarks.serving import environments
from benchmarks.serving.load import put_load
from benchmarks.serving.running import Running
from benchmarks.serving.sepal import SEPAL
from benchmarks.serving.systems import Program, Site
from benchmarks.serving.workload import Workload

_LIMIT_MB: Final = 200
_CONNECTIONS: Final = 4
_SLICE_SECONDS: Final = 10
_TIMEOUT_SECONDS: Final = 60
_TASKS_QUERY: Final = {
    "draw": 1,
    "start": 0,
    "length": 15,
    "order[0][column]": 0,
    "order[0][dir]": "desc",
    "columns[0][data]": "received",
}


def main() -> None:
    """Measure and print; exit 1 if Flower exceeds the limit, and raise TimeoutError if it misses batches."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flower", description=__doc__)
    parser.add_argument("--batches", type=int, default=100_000, help="succeeded batches in Flower at which to stop")
    parser.add_argument("--max-tasks", type=int, help="overrides deploy/flower/flowerconfig.py")
    arguments = parser.parse_args()
    password = os.environ["SEPAL_FLOWER_PASSWORD"] = secrets.token_urlsafe()
    workload = Workload.load()
    system = dataclasses.replace(SEPAL, programs=lambda site: _programs(site, arguments.max_tasks))
    folder = environments.FOLDER / "run" / "flower"
    with Running(system, environments.ensure_interpreter(SEPAL), folder, workload) as running:
        flower = _Flower(running, password)
        largest = flower.print_figures()
        while flower.count_succeeded() < arguments.batches:
            put_load(running.url, running.bodies(1), _CONNECTIONS, _SLICE_SECONDS)
            flower.wait_until_caught_up()
            largest = max(largest, flower.print_figures())
    print(f"maximum: {largest:.0f} MB")
    if largest > _LIMIT_MB:
        sys.exit(f"flower: more than {_LIMIT_MB} MB")


def _programs(site: Site, max_tasks: int | None) -> Iterator[Program]:
    for program in SEPAL.programs(site):
        if program.name == "flower" and max_tasks is not None:
            yield dataclasses.replace(program, command=[*program.command, f"--max-tasks={max_tasks}"])
        else:
            yield program


class _Flower:
    """Flower's process and pages."""

    def __init__(self, running: Running, password: str) -> None:
        self._process = next(each for each in running.processes() if "flower" in each.cmdline())
        url = f"http://127.0.0.1:{running.site.other_ports[0]}"
        self._pages = httpx.Client(base_url=url, auth=("sepal", password), timeout=_TIMEOUT_SECONDS)
        self._began = time.monotonic()

    def count_succeeded(self) -> int:
        return self._count_events("task-succeeded")

    def wait_until_caught_up(self) -> None:
        """Wait until Flower shows every received batch as succeeded.

        Raises:
            TimeoutError: it does not show all of them in time.
        """
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while self._count_events("task-succeeded") < self._count_events("task-received"):
            if time.monotonic() > deadline:
                raise TimeoutError("Flower does not show every batch as succeeded")
            time.sleep(0.2)

    def print_figures(self) -> float:
        """Print Flower's counts, memory and CPU, and return its resident set in MB."""
        page = self._pages.post("/tasks/datatable", data=_TASKS_QUERY)
        page.raise_for_status()
        kept, megabytes = page.json()["recordsTotal"], self._process.memory_info().rss / 1e6
        cpu = sum(self._process.cpu_times()[:2]) / (time.time() - self._process.create_time())
        seconds = time.monotonic() - self._began
        counted = f"{self.count_succeeded():7} succeeded, {kept:6} kept, {megabytes:5.0f} MB"
        print(f"{seconds:5.0f} s  {counted}, {cpu:4.0%} of a core", flush=True)
        return megabytes

    def _count_events(self, event: str) -> int:
        workers: list[dict[str, Any]] = (
            self._pages.get("/workers", params={"json": 1}).raise_for_status().json()["data"]
        )
        return sum(worker.get(event, 0) for worker in workers)


if __name__ == "__main__":
    main()
