"""Measures throughput by the number of workers: `python -m benchmarks.scaling`.

Starts the Compose project with a pipeline that uses 20 ms of CPU time per batch and workers limited to 0.2 cores.
Clients send full batches, so that more load makes more batches, not larger ones. Rounds with 1, 2 and 4 workers
alternate; then the workers are scaled from 4 to 1 under load, and accepted predictions are polled until they are final.
"""

import argparse
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.scaling.compose_project import ROOT, ComposeProject
from benchmarks.scaling.pipeline import COLUMNS, save_fixed_cost
from benchmarks.scaling.traffic import Traffic
from benchmarks.serving import machine

WORKER_COUNTS: Final = (1, 2, 4)
_MIN_RATIOS: Final = {2: 1.85, 4: 3.5}
_ROWS_PER_REQUEST: Final = 1024  # a full batch, which no other prediction joins
_N_WAITING_CLIENTS: Final = 24  # clients: enough to keep 4 workers busy with batches queued behind
_WARM_UP_SECONDS: Final = 3
_SCALE_DOWN_SECONDS: Final = 5

_COMPOSE_OVERRIDE: Final = """\
services:
  worker:
    volumes:
      - {package}:/sepal/benchmarks/scaling:ro
      - {model}:/models/fixed-cost:ro
"""


def main() -> None:
    """Measure, print the tables, and exit 1 if a ratio is too low or a prediction was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=15, help="duration of each measurement")
    parser.add_argument("--milliseconds", type=float, default=20, help="CPU time per batch")
    parser.add_argument("--cpus", type=float, default=0.2, help="CPU limit of each worker, in cores")
    arguments = parser.parse_args()
    with _started_project(arguments.milliseconds, arguments.cpus) as (system, port):
        rates = _measure_rates(system, port, arguments.rounds, arguments.seconds)
        traffic, statuses = _scale_down(system, port)
    print(f"{', '.join(machine.describe().values())}; commit {machine.checked_out_commit()}")
    is_met = _print_report(rates)
    counts = f"{traffic.accepted} accepted, {traffic.succeeded} succeeded, failures {dict(traffic.failures)}"
    print(f"\nfrom 4 to 1: {counts}")
    print(f"exit statuses of the stopped workers: {statuses}")
    if not is_met or traffic.accepted > traffic.succeeded or traffic.failures or any(statuses):
        sys.exit("scaling: a ratio is too low, a prediction was lost, or a worker failed")


@contextmanager
def _started_project(milliseconds: float, cpus: float) -> Iterator[tuple[ComposeProject, int]]:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as api, socket.socket() as flower:
        Path(folder).chmod(0o755)  # so that the container's user can read it
        model = save_fixed_cost(Path(folder), milliseconds)
        override = Path(folder, "scaling.yml")
        override.write_text(_COMPOSE_OVERRIDE.format(package=ROOT / "benchmarks" / "scaling", model=model))
        for probe in (api, flower):
            probe.bind(("127.0.0.1", 0))
        port, flower_port = (int(probe.getsockname()[1]) for probe in (api, flower))
        api.close()
        flower.close()
        environment = {
            "SEPAL_API_PORT": str(port),
            "SEPAL_FLOWER_PORT": str(flower_port),
            "SEPAL_MODEL_DIR": "/models/fixed-cost",
            "SEPAL_WORKER_CPUS": str(cpus),
        }
        with ComposeProject(n_workers=WORKER_COUNTS[0], override_files=[override], environment=environment) as system:
            yield system, port


def _measure_rates(system: ComposeProject, port: int, rounds: int, seconds: int) -> dict[int, list[float]]:
    """Return the batches/s of every round by number of workers; every other round counts down."""
    rates: dict[int, list[float]] = {workers: [] for workers in WORKER_COUNTS}
    for number in range(rounds):
        for workers in WORKER_COUNTS if number % 2 == 0 else reversed(WORKER_COUNTS):
            system.scale(workers)
            system.wait_until_healthy()
            with Traffic(port, _full_batch_body(), n_waiting=_N_WAITING_CLIENTS) as traffic:
                traffic.measure_rate(_WARM_UP_SECONDS)
                rates[workers].append(traffic.measure_rate(seconds))
            if traffic.failures:
                sys.exit(f"scaling: {workers} workers: {dict(traffic.failures)}")
            print(f"round {number + 1}, {workers} workers: {rates[workers][-1]:.2f} batches/s", flush=True)
    return rates


def _scale_down(system: ComposeProject, port: int) -> tuple[Traffic, list[int]]:
    system.scale(WORKER_COUNTS[-1])
    system.wait_until_healthy()
    with Traffic(port, _full_batch_body(), n_waiting=_N_WAITING_CLIENTS // 2, n_polling=4) as traffic:
        traffic.measure_rate(_SCALE_DOWN_SECONDS)
        began = time.time()
        system.scale(1)
        statuses = system.exit_statuses("worker", began)
        traffic.measure_rate(_SCALE_DOWN_SECONDS)
    return traffic, statuses


def _print_report(rates: dict[int, list[float]]) -> bool:
    print("\n| workers | batches/s, median | lowest – highest | ratio to one worker, median | lowest – highest |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    is_met = True
    for workers, measured in rates.items():
        ratios = [rate / one for rate, one in zip(measured, rates[1], strict=True)]
        is_met = is_met and median(ratios) >= _MIN_RATIOS.get(workers, 0)
        print(
            f"| {workers} | {median(measured):.2f} | {_format_span(measured)} "
            f"| {median(ratios):.2f} | {_format_span(ratios)} |"
        )
    return is_met


def _format_span(values: list[float]) -> str:
    return f"{min(values):.2f} – {max(values):.2f}"


def _full_batch_body() -> bytes:
    return json.dumps({"data": [[row % 2] * COLUMNS for row in range(_ROWS_PER_REQUEST)]}).encode()


if __name__ == "__main__":
    main()
