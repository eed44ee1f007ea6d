"""`make bench`: measures all systems in all scenarios, and writes the results as JSON, Markdown and charts.

python -m benchmarks.serving --scenario penguins --only in_process,sepal --rounds 3
"""

import argparse
import sys
from collections.abc import Callable, Container
from pathlib import Path
from typing import Final

from benchmarks.serving import load
from benchmarks.serving.chart import draw
from benchmarks.serving.errors import CannotMeasure
from benchmarks.serving.peers import PEERS
from benchmarks.serving.report import write_report
from benchmarks.serving.results import Plan, Results
from benchmarks.serving.rounds import run
from benchmarks.serving.scenarios import SCENARIOS, Scenario
from benchmarks.serving.sepal import SEPAL
from benchmarks.serving.workload import Workload

SYSTEMS: Final = {system.name: system for system in (*PEERS[:-1], SEPAL, PEERS[-1])}


def main() -> None:
    """Measure the scenarios and systems that the command line selects, and write the reports."""
    arguments = _parse_arguments()
    try:
        for name in arguments.scenario:
            scenario = SCENARIOS[name]
            if not arguments.report_only:
                _measure_scenario(scenario, arguments)
            write_reports(arguments.output, scenario)
    except CannotMeasure as error:
        sys.exit(f"benchmarks.serving: {error}")


def write_reports(folder: Path, scenario: Scenario) -> None:
    """Write the report and the chart of a scenario's results in a folder."""
    results = Results.read(folder / scenario.json_file)
    (folder / scenario.report_file).write_text(write_report(results, scenario))
    if scenario.chart_file:
        draw(results, folder / scenario.chart_file)


def _measure_scenario(scenario: Scenario, arguments: argparse.Namespace) -> None:
    names = [name for name in scenario.systems if name in arguments.only]
    if not names:
        raise CannotMeasure(f"{scenario.name} has none of these systems: choose from {', '.join(scenario.systems)}")
    plan = Plan(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        warm_up_seconds=arguments.warm_up,
        connections=arguments.connections or list(scenario.connections),
        rows=arguments.rows or list(scenario.rows),
        load_generator=load.wrk_version(),
        scenario=scenario.name,
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / scenario.json_file
    run([SYSTEMS[name] for name in names], plan, Workload.load(scenario.model_dir), path)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument(
        "--scenario",
        type=_name_list_parser(SCENARIOS),
        default=list(SCENARIOS),
        help=f"some of {','.join(SCENARIOS)}; all by default",
    )
    parser.add_argument(
        "--only", type=_name_list_parser(SYSTEMS), default=list(SYSTEMS), help=f"some of {','.join(SYSTEMS)}"
    )
    parser.add_argument("--rounds", type=_parse_positive_integer, default=5)
    parser.add_argument("--seconds", type=_parse_positive_integer, default=3, help="measured seconds of each cell")
    parser.add_argument(
        "--warm-up", type=_parse_positive_integer, default=1, help="seconds of load before each measurement"
    )
    parser.add_argument("--connections", type=_parse_positive_integers, help="instead of the scenario's")
    parser.add_argument("--rows", type=_parse_positive_integers, help="rows per request, instead of the scenario's")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--report-only", action="store_true", help="write the reports from the existing JSON files")
    return parser.parse_args()


def _name_list_parser(known_names: Container[str]) -> Callable[[str], list[str]]:
    def parse_names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [name for name in found if name not in known_names]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return found

    return parse_names


def _parse_positive_integer(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _parse_positive_integers(text: str) -> list[int]:
    return [_parse_positive_integer(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
