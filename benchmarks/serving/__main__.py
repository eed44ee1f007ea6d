"""`make bench`: measures all systems, and writes the results as JSON, Markdown and a chart.

python -m benchmarks.serving --only in_process,sepal --rounds 3
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.serving import load
from benchmarks.serving.chart import draw
from benchmarks.serving.errors import CannotMeasure
from benchmarks.serving.peers import PEERS
from benchmarks.serving.report import write_report
from benchmarks.serving.results import Plan, Results
from benchmarks.serving.rounds import run
from benchmarks.serving.sepal import SEPAL
from benchmarks.serving.workload import Workload

JSON_FILE: Final = "serving.json"
REPORT_FILE: Final = "serving-results.md"
CHART_FILE: Final = "serving.svg"

SYSTEMS: Final = {system.name: system for system in (*PEERS[:-1], SEPAL, PEERS[-1])}


def main() -> None:
    """Measure the systems that the command line names, and write the report."""
    arguments = _parse()
    try:
        if not arguments.report_only:
            systems = [SYSTEMS[name] for name in arguments.only]
            arguments.output.mkdir(parents=True, exist_ok=True)
            run(systems, _plan(arguments), Workload.load(), arguments.output / JSON_FILE)
        write_reports(arguments.output)
    except CannotMeasure as error:
        sys.exit(f"benchmarks.serving: {error}")


def write_reports(folder: Path) -> None:
    """Write the report and the chart of the results in a folder."""
    results = Results.read(folder / JSON_FILE)
    (folder / REPORT_FILE).write_text(write_report(results, CHART_FILE))
    draw(results, folder / CHART_FILE)


def _plan(arguments: argparse.Namespace) -> Plan:
    return Plan(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        warm_up_seconds=arguments.warm_up,
        connections=arguments.connections,
        rows=arguments.rows,
        load_generator=load.version(),
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--only", type=_names, default=list(SYSTEMS), help=f"some of {','.join(SYSTEMS)}")
    parser.add_argument("--rounds", type=_positive, default=5)
    parser.add_argument("--seconds", type=_positive, default=3, help="measured seconds of each cell")
    parser.add_argument("--warm-up", type=_positive, default=1, help="seconds of load before each measurement")
    parser.add_argument("--connections", type=_positives, default=[1, 8, 32, 128, 512])
    parser.add_argument("--rows", type=_positives, default=[1, 16], help="rows per request")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--report-only", action="store_true", help="write the report from the existing JSON file")
    return parser.parse_args()


def _names(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(SYSTEMS)}")
    return names


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _positives(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
