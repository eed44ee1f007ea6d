"""What another worker is worth: `python -m benchmarks.scaling`.

Composes the system with a pipeline that burns 20 ms of CPU a batch and workers that may use a fifth of a core each.
Clients send full batches, so that more load makes more batches and not larger ones. Rounds with 1, 2 and 4 workers
take turns; then, under the same load, 4 workers become 1, and every accepted id is accounted for.
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

from benchmarks.scaling.composed import ROOT, Composed
from benchmarks.scaling.pipeline import COLUMNS, save_burning
from benchmarks.scaling.traffic import Traffic
from benchmarks.serving import machine

WORKERS: Final = (1, 2, 4)
_BARS: Final = {2: 1.85, 4: 3.5}
_ROWS: Final = 1024  # a full batch: none joins another
_WAITING: Final = 24  # two batches for each of the most processes, and as many again at the gateway's door
_WARM_UP_SECONDS: Final = 3
_LEAVING_SECONDS: Final = 5

_OVERRIDE: Final = """\
services:
  worker:
    volumes:
      - {package}:/sepal/benchmarks/scaling:ro
      - {model}:/models/burning:ro
"""


def main() -> None:
    """Measure, print the tables, and fail where a bar is missed or a prediction was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=15, help="of each measurement")
    parser.add_argument("--milliseconds", type=float, default=20, help="of CPU that a batch burns")
    parser.add_argument("--cpus", type=float, default=0.2, help="of each worker")
    arguments = parser.parse_args()
    with _composed(arguments.milliseconds, arguments.cpus) as (system, port):
        rates = _measure(system, port, arguments.rounds, arguments.seconds)
        shrunk, statuses = _shrink(system, port)
    print(f"{', '.join(machine.describe().values())}; commit {machine.commit()}")
    reached = _report(rates)
    print(f"\nfrom 4 to 1: {shrunk.accepted} accepted, {shrunk.succeeded} succeeded, failures {dict(shrunk.failures)}")
    print(f"the workers that left ended with {statuses}")
    if not reached or shrunk.accepted > shrunk.succeeded or shrunk.failures or any(statuses):
        sys.exit("scaling: this is not what was promised")


@contextmanager
def _composed(milliseconds: float, cpus: float) -> Iterator[tuple[Composed, int]]:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as api, socket.socket() as flower:
        Path(folder).chmod(0o755)  # the container's user reads it
        model = save_burning(Path(folder), milliseconds)
        override = Path(folder, "scaling.yml")
        override.write_text(_OVERRIDE.format(package=ROOT / "benchmarks" / "scaling", model=model))
        for probe in (api, flower):
            probe.bind(("127.0.0.1", 0))
        port, flower_port = (int(probe.getsockname()[1]) for probe in (api, flower))
        api.close()
        flower.close()
        environment = {
            "SEPAL_API_PORT": str(port),
            "SEPAL_FLOWER_PORT": str(flower_port),
            "SEPAL_MODEL_DIR": "/models/burning",
            "SEPAL_WORKER_CPUS": str(cpus),
        }
        with Composed(workers=WORKERS[0], files=[override], environment=environment) as system:
            yield system, port


def _measure(system: Composed, port: int, rounds: int, seconds: int) -> dict[int, list[float]]:
    """Batches a second of every round, by the number of workers; rounds run up and down in turn."""
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for number in range(rounds):
        for workers in WORKERS if number % 2 == 0 else reversed(WORKERS):
            system.scale(workers)
            system.wait_until_healthy()
            with Traffic(port, _body(), waiting=_WAITING) as traffic:
                traffic.rate(_WARM_UP_SECONDS)
                rates[workers].append(traffic.rate(seconds))
            if traffic.failures:
                sys.exit(f"scaling: {workers} workers: {dict(traffic.failures)}")
            print(f"round {number + 1}, {workers} workers: {rates[workers][-1]:.2f} batches/s", flush=True)
    return rates


def _shrink(system: Composed, port: int) -> tuple[Traffic, list[int]]:
    system.scale(WORKERS[-1])
    system.wait_until_healthy()
    with Traffic(port, _body(), waiting=_WAITING // 2, polling=4) as traffic:
        traffic.rate(_LEAVING_SECONDS)
        began = time.time()
        system.scale(1)
        statuses = system.ended("worker", began)
        traffic.rate(_LEAVING_SECONDS)
    return traffic, statuses


def _report(rates: dict[int, list[float]]) -> bool:
    print("\n| workers | batches/s, median | lowest – highest | ratio to one worker, median | lowest – highest |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    reached = True
    for workers, measured in rates.items():
        ratios = [rate / one for rate, one in zip(measured, rates[1], strict=True)]
        reached = reached and median(ratios) >= _BARS.get(workers, 0)
        print(f"| {workers} | {median(measured):.2f} | {_span(measured)} | {median(ratios):.2f} | {_span(ratios)} |")
    return reached


def _span(values: list[float]) -> str:
    return f"{min(values):.2f} – {max(values):.2f}"


def _body() -> bytes:
    return json.dumps({"data": [[row % 2] * COLUMNS for row in range(_ROWS)]}).encode()


if __name__ == "__main__":
    main()
