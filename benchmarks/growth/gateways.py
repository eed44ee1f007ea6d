"""Measures throughput, latency and CPU by the number of gateway processes, with the rounds of `make bench`."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from benchmarks.growth.results import GrowthResults
from benchmarks.serving import load, rounds, sepal
from benchmarks.serving.environments import FOLDER
from benchmarks.serving.results import Plan
from benchmarks.serving.systems import Program, Site, System
from benchmarks.serving.workload import Workload

PROCESS_COUNTS: Final = (1, 2, 4)
CONNECTION_COUNTS: Final = (128, 512)
_SLICE_SECONDS: Final = 3
_WARM_UP_SECONDS: Final = 1


def measure(results: GrowthResults, workload: Workload, n_rounds: int) -> None:
    """Measure each number of processes in interleaved rounds."""
    plan = Plan(n_rounds, _SLICE_SECONDS, _WARM_UP_SECONDS, list(CONNECTION_COUNTS), [1], load.wrk_version())
    FOLDER.mkdir(exist_ok=True)
    systems = [_sepal_with_processes(processes) for processes in PROCESS_COUNTS]
    results.gateways = rounds.run(systems, plan, workload, FOLDER / "growth-gateways.json")


def _sepal_with_processes(n_processes: int) -> System:
    environment = {"SEPAL_API_PROCESSES": str(n_processes)}

    def programs(site: Site) -> Sequence[Program]:
        return [
            dataclasses.replace(program, environment={**program.environment, **environment})
            for program in sepal.programs(site)
        ]

    return dataclasses.replace(
        sepal.SEPAL,
        name=f"sepal-{n_processes}",
        title=f"Sepal, {n_processes} gateway {'process' if n_processes == 1 else 'processes'}",
        programs=programs,
        settings=lambda: {**sepal.settings(), **environment},
    )
