"""Compares `sepal score` with a local script, including the start of both: `python -m benchmarks.bulk.command_line`.

In each round, both score the same file, one after the other, in alternating order; Sepal already runs, as `make run`
starts it. Then the memory of the command is measured while it scores 10,000,000 rows, and the time of `sepal --help`.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from benchmarks.bulk import data
from benchmarks.bulk.__main__ import FILES, compare_results, started_sepal
from benchmarks.bulk.memory import sampled_memory_peaks
from benchmarks.serving import machine
from benchmarks.serving.markdown import format_machine, format_spread, table
from benchmarks.serving.running import Running
from benchmarks.serving.scenarios import SCENARIOS
from benchmarks.serving.summary import Spread

_SEPAL: Final = str(Path(sys.executable).with_name("sepal"))
_HELP_RUNS: Final = 20
_MEMORY_ROWS: Final = 10_000_000


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk.command_line", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of penguins")
    parser.add_argument("--memory-rows", type=int, default=_MEMORY_ROWS, help="of iris, while memory is measured")
    arguments = parser.parse_args()
    sepal, local = _measure_times(arguments.rows, arguments.rounds)
    ratios = [other / own for own, other in zip(sepal, local, strict=True)]
    lines = [
        ["`sepal score`, s", _format_spread(sepal), ""],
        ["local script, s", _format_spread(local), ""],
        ["rows per second, ratio to the script", _format_spread(ratios), "≥ 0.9"],
        [
            f"memory of `sepal score`, {arguments.memory_rows:,} rows, MiB",
            f"{_measure_peak_memory(arguments.memory_rows):.0f}",
            "≤ 143",
        ],
        ["`sepal --help`, s", _format_spread([_time_command([_SEPAL, "--help"]) for _ in range(_HELP_RUNS)]), "< 0.3"],
    ]
    print(table([f"penguins, CSV in, Parquet out, {arguments.rows:,} rows", "measured", "bar"], lines))
    where = f"{format_machine(machine.describe())}; commit `{machine.checked_out_commit()}`"
    print(f"\n{where}; medians of {arguments.rounds} rounds (`--help`: {_HELP_RUNS}), lowest and highest in brackets.")


def _measure_times(n_rows: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of the command and of the script, for each round."""
    source = data.write_file("penguins", "csv", n_rows, FILES)
    given, expected = FILES / "result.parquet", FILES / "expected.parquet"
    sepal: list[float] = []
    local: list[float] = []
    for number in range(rounds):
        with started_sepal("penguins") as running:
            runs: list[Callable[[], None]] = [
                lambda running=running: sepal.append(_time_command(_score_arguments(running, source, given))),  # type: ignore[misc]
                lambda: local.append(_time_local_script(source, expected)),
            ]
            for run in runs[:: 1 if number % 2 else -1]:
                run()
        compare_results(given, expected)
        print(f"round {number + 1}: sepal {sepal[-1]:.2f} s, script {local[-1]:.2f} s", file=sys.stderr, flush=True)
    return sepal, local


def _score_arguments(running: Running, source: Path, target: Path) -> list[str]:
    return [_SEPAL, "score", str(source), "-o", str(target), "--url", f"http://127.0.0.1:{running.site.port}"]


def _time_command(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _time_local_script(source: Path, target: Path) -> float:
    """Return the seconds from the start of the script to its end."""
    command = [sys.executable, "-m", "benchmarks.bulk.local", str(SCENARIOS["penguins"].model_dir)]
    began = time.perf_counter()
    subprocess.run(command, check=True, input=f"{source} {target}\n", text=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _measure_peak_memory(n_rows: int) -> float:
    """Return the command's peak memory, in MiB."""
    source = data.write_file("iris", "csv", n_rows, FILES)
    with (
        started_sepal("iris") as running,
        subprocess.Popen(_score_arguments(running, source, FILES / "result.parquet")) as process,
        sampled_memory_peaks(lambda: {"sepal": _live_processes(process.pid)}) as highest,
    ):
        if process.wait():
            sys.exit("sepal score failed")
    return highest["sepal"]


def _live_processes(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid)] if psutil.pid_exists(pid) else []


def _format_spread(values: Sequence[float]) -> str:
    return format_spread(Spread(median(values), min(values), max(values), len(values)))


if __name__ == "__main__":
    main()
