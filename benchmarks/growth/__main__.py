"""`make bench-growth`: measures how cost grows, and writes the results as JSON and Markdown.

python -m benchmarks.growth --only batch,artifact --rounds 3
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.growth import artifact, batch, gateways, waiting
from benchmarks.growth.report import write_report
from benchmarks.growth.results import GrowthResults
from benchmarks.serving import machine, sepal
from benchmarks.serving.errors import CannotMeasure
from benchmarks.serving.workload import Workload

JSON_FILE: Final = "growth.json"
REPORT_FILE: Final = "growth-results.md"

_Measure = Callable[[GrowthResults, Workload, int], None]
PARTS: Final[dict[str, _Measure]] = {
    "batch": batch.measure,
    "waiting": waiting.measure,
    "gateways": gateways.measure,
    "artifact": artifact.measure,
}
# A start with a large artifact takes long and varies little.
_MAX_ROUNDS: Final = {"artifact": 3}


def main() -> None:
    """Measure the parts that the command line selects, and write the report."""
    arguments = _parse_arguments()
    try:
        if not arguments.report_only:
            _measure_parts(arguments.only, arguments.rounds, arguments.output)
        results = GrowthResults.read(arguments.output / JSON_FILE)
    except CannotMeasure as error:
        sys.exit(f"benchmarks.growth: {error}")
    (arguments.output / REPORT_FILE).write_text(write_report(results))


def _measure_parts(part_names: Sequence[str], rounds: int, output: Path) -> None:
    planned = {name: min(rounds, _MAX_ROUNDS.get(name, rounds)) for name in part_names}
    versions = dict(sepal.SEPAL.versions())
    results = GrowthResults(machine.checked_out_commit(), machine.describe(), versions, sepal.settings(), planned)
    workload = Workload.load()
    output.mkdir(parents=True, exist_ok=True)
    for name, n_rounds in planned.items():
        try:
            PARTS[name](results, workload, n_rounds)
        except CannotMeasure as error:
            results.record_failure(name, 0, "start", error)
        results.write(output / JSON_FILE)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--only", type=_parse_part_names, default=list(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument(
        "--rounds", type=_parse_positive_integer, default=5, help=f"rounds of each part; at most {_MAX_ROUNDS}"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--report-only", action="store_true", help="write the report from the existing JSON file")
    return parser.parse_args()


def _parse_part_names(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    return names


def _parse_positive_integer(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    main()
