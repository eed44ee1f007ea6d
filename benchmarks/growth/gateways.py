"""Measures throughput, latency and CPU by the number of gateway processes, with the rounds of `make bench`."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from benchmarks.growth.results import Growth
from benchmarks.serving import load, rounds, sepal
from benchmarks.serving.environments import FOLDER
from benchmarks.serving.results import Plan
from benchmarks.serving.systems import Program, Site, System
from benchmarks.serving.workload import Workload

PROCESSES: Final = (1, 2, 4)
CONNECTIONS: Final = (128, 512)
_SECONDS: Final = 3
_WARM_UP_SECONDS: Final = 1


def measure(results: Growth, workload: Workload, n_rounds: int) -> None:
    """Measure each number of processes in interleaved rounds."""
    plan = Plan(n_rounds, _SECONDS, _WARM_UP_SECONDS, list(CONNECTIONS), [1], load.version())
    FOLDER.mkdir(exist_ok=True)
    systems = [_sepal_with_processes(processes) for processes in PROCESSES]
    results.gateways = rounds.run(systems, plan, workload, FOLDER / "growth-gateways.json")


def _sepal_with_processes(processes: int) -> System:
    environment = {"SEPAL_API_PROCESSES": str(processes)}

    def programs(site: Site) -> Sequence[Program]:
        return [
            dataclasses.replace(program, environment={**program.environment, **environment})
            for program in sepal.programs(site)
        ]

    return dataclasses.replace(
        sepal.SEPAL,
        name=f"sepal-{processes}",
        title=f"Sepal, {processes} gateway {'process' if processes == 1 else 'processes'}",
        programs=programs,
        settings=lambda: {**sepal.settings(), **environment},
    )
