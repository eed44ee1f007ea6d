"""Compares the performance of this code with that of an earlier commit; both run at the same time.

python -m benchmarks.against 6d2a16b --scenario penguins
python -m benchmarks.against silent    # the cost of metrics: the same code without counting

The two are loaded in turn, for one slice each; two slices are a pair. Each start yields the median, over its pairs, of
the ratio of this code to the earlier one. The median and the quartiles over the starts are printed. Flower is not
started, because its command line changes with the code. Each code trains the model that it serves, because the format
of the model card changes.
"""

import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

from benchmarks.serving import environments, resources, sepal
from benchmarks.serving.load import put_load
from benchmarks.serving.running import Running
from benchmarks.serving.scenarios import SCENARIOS
from benchmarks.serving.systems import Program, Site
from benchmarks.serving.workload import ROOT, Workload

_WARM_UP_SECONDS: Final = 2
_SILENT: Final = "silent"
_BULK_WORKER: Final = "bulk-worker"


class Slice(NamedTuple):
    """The measurements of one slice of load."""

    requests_per_second: float
    p50_ms: float
    cpu_per_thousand: float
    """CPU seconds of all processes per 1,000 requests."""


Programs = Callable[[Site], Iterator[Program]]
Pair = tuple[Slice, Slice]
"""The earlier code and this code."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("commit", help=f"the earlier commit, or `{_SILENT}`")
    parser.add_argument("--scenario", choices=SCENARIOS, default="iris", help="the model that both serve")
    parser.add_argument("--connections", default="1,128", help="numbers of connections")
    parser.add_argument("--starts", type=_parse_starts, default=10, help="number of times that both are started")
    parser.add_argument("--pairs", type=int, default=4, help="pairs of slices for each start and number of connections")
    parser.add_argument("--seconds", type=int, default=2, help="duration of a slice")
    arguments = parser.parse_args()
    scenario = SCENARIOS[arguments.scenario]
    workload = Workload.load(scenario.model_dir)
    connections = [int(number) for number in arguments.connections.split(",")]
    measured: dict[int, list[Pair]] = {number: [] for number in connections}
    with _checked_out_worktree(arguments.commit) as tree:
        is_silent = arguments.commit == _SILENT
        programs = _silent_programs if is_silent else _programs_from_tree(tree, _train(tree, scenario.recipe))
        for start in range(arguments.starts):
            with _run_both(programs, workload, is_reversed=bool(start % 2)) as (before, now):
                for number in connections:
                    measured[number] += _measure_pairs(before, now, number, arguments.pairs, arguments.seconds)
    for number, pairs in measured.items():
        print(f"{number} connections, {arguments.starts} starts, {arguments.pairs} pairs of {arguments.seconds} s each")
        _print_report(pairs, arguments.pairs)


def _parse_starts(text: str) -> int:
    if (n_starts := int(text)) < 2:
        raise argparse.ArgumentTypeError("the quartiles over the starts need at least 2")
    return n_starts


def _measure_pairs(earlier: Running, current: Running, connections: int, n_pairs: int, seconds: int) -> Iterator[Pair]:
    for running in (earlier, current):
        _measure_slice(running, connections, _WARM_UP_SECONDS)
    for number in range(n_pairs):
        order = (earlier, current) if number % 2 else (current, earlier)
        slices = {running: _measure_slice(running, connections, seconds) for running in order}
        yield slices[earlier], slices[current]


def _print_report(measured_pairs: list[Pair], pairs_per_start: int) -> None:
    """Print medians and quartiles over the starts; the pairs of one start are not independent."""
    for field in Slice._fields:
        values = [(getattr(old, field), getattr(new, field)) for old, new in measured_pairs]
        ratios = [new / old for old, new in values]
        starts = [median(ratios[first : first + pairs_per_start]) for first in range(0, len(ratios), pairs_per_start)]
        low, _, high = quantiles(starts, n=4)
        earlier, current = (median(side) for side in zip(*values, strict=True))
        print(
            f"  {field:20} {earlier:10.4g} {current:10.4g}   ratio {median(starts):.3f} ({low:.3f} to {high:.3f})",
            flush=True,
        )


@contextmanager
def _run_both(programs: Programs, workload: Workload, *, is_reversed: bool) -> Iterator[tuple[Running, Running]]:
    """Start both; the order varies between starts, because it affects the speed of the processes."""
    before, now = (
        _prepare_system("before", programs, workload),
        _prepare_system("now", _programs_from_tree(ROOT), workload),
    )
    with ExitStack() as started:
        for running in (now, before) if is_reversed else (before, now):
            started.enter_context(running)
        yield before, now


def _measure_slice(running: Running, connections: int, seconds: int) -> Slice:
    running.wait_until_idle()
    processes = running.processes()
    cpu = resources.cpu_seconds(processes)
    measured = put_load(running.url, running.bodies(1), connections, seconds)
    cpu = resources.cpu_seconds(running.processes()) - cpu
    if any(measured.errors.values()):
        raise SystemExit(f"errors: {measured.errors}\n{running.read_log_ends()}")
    return Slice(measured.requests / measured.seconds, measured.p50_ms, 1000 * cpu / measured.requests)


def _prepare_system(name: str, programs: Programs, workload: Workload) -> Running:
    system = dataclasses.replace(sepal.SEPAL, name=name, programs=programs)
    return Running(system, environments.ensure_interpreter(system), environments.FOLDER / "run" / name, workload)


def _programs_from_tree(tree: Path, model_dir: Path | None = None) -> Programs:
    """Return the programs of a source tree; with `model_dir`, they serve that model."""
    others = {"flower"}
    supervision = tree / "local" / "supervision.py"
    if not supervision.exists() or _BULK_WORKER not in supervision.read_text():
        others.add(_BULK_WORKER)  # its only worker serves both queues

    def programs(site: Site) -> Iterator[Program]:
        for program in sepal.programs(site):
            if program.name not in others:
                own = {} if model_dir is None else {"SEPAL_MODEL_DIR": str(model_dir)}
                yield dataclasses.replace(program, cwd=tree, environment={**program.environment, **own})

    return programs


def _silent_programs(site: Site) -> Iterator[Program]:
    for program in _programs_from_tree(ROOT)(site):
        command = list(program.command)
        if "-m" in command:
            command.insert(command.index("-m") + 1, "benchmarks.silent")
        yield dataclasses.replace(program, command=command)


@contextmanager
def _checked_out_worktree(commit: str) -> Iterator[Path]:
    """Check the earlier commit out into a git worktree."""
    if commit == _SILENT:
        yield ROOT
        return
    tree = environments.FOLDER / "before"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "remove", "--force", str(tree)], check=False, capture_output=True)
    subprocess.run([*git, "add", "--detach", str(tree), commit], check=True, capture_output=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True, capture_output=True)


def _train(tree: Path, recipe: str) -> Path:
    """Train a recipe with the code of a source tree; return the model directory."""
    command = [sys.executable, "-m", "training", recipe, "--models-dir", str(tree / "models")]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (model_dir,) = (tree / "models" / recipe).iterdir()
    return model_dir


if __name__ == "__main__":
    main()
