"""What a change costs: this code against an earlier commit of it, slice by slice, both running all the while.

python -m benchmarks.against 6d2a16b
python -m benchmarks.against silent    # what metrics cost: the same code, counting nothing

Each pair is one slice of load on either, in turns first; each start of both gives the median ratio of its pairs, of
this code to the earlier one. What is printed is the median of the starts, and the quartiles around it. Flower is left
out, for its command line changes with the code.
"""

import argparse
import dataclasses
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

from benchmarks.serving import environments, resources, sepal
from benchmarks.serving.load import put_load
from benchmarks.serving.question import ROOT, Question
from benchmarks.serving.running import Running
from benchmarks.serving.systems import Program, Site

_WARM_UP_SECONDS: Final = 2
_SILENT: Final = "silent"


class Slice(NamedTuple):
    """One slice of load."""

    requests_per_second: float
    p50_ms: float
    cpu_per_thousand: float
    """CPU seconds of all processes for 1,000 requests."""


Programs = Callable[[Site], Iterator[Program]]
Pair = tuple[Slice, Slice]
"""Before, and now."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("commit", help=f"the earlier one, or `{_SILENT}`")
    parser.add_argument("--connections", default="1,128", help="numbers of connections")
    parser.add_argument("--starts", type=int, default=10, help="how often both are started anew")
    parser.add_argument("--pairs", type=int, default=4, help="of slices, for each start and number of connections")
    parser.add_argument("--seconds", type=int, default=2, help="of a slice")
    arguments = parser.parse_args()
    question = Question.load()
    connections = [int(number) for number in arguments.connections.split(",")]
    measured: dict[int, list[Pair]] = {number: [] for number in connections}
    with _checked_out(arguments.commit) as tree:
        for start in range(arguments.starts):
            programs = _silent_programs if arguments.commit == _SILENT else _programs_of(tree)
            with _both(programs, question, reverse=bool(start % 2)) as (before, now):
                for number in connections:
                    measured[number] += _pairs(before, now, number, arguments.pairs, arguments.seconds)
    for number, pairs in measured.items():
        print(f"{number} connections, {arguments.starts} starts, {arguments.pairs} pairs of {arguments.seconds} s each")
        _report(pairs, arguments.pairs)


def _pairs(before: Running, now: Running, connections: int, pairs: int, seconds: int) -> Iterator[Pair]:
    for running in (before, now):
        _slice(running, connections, _WARM_UP_SECONDS)
    for number in range(pairs):
        order = (before, now) if number % 2 else (now, before)
        slices = {running: _slice(running, connections, seconds) for running in order}
        yield slices[before], slices[now]


def _report(measured: list[Pair], pairs_a_start: int) -> None:
    """Pairs of one start are no independent measurements: their median is one."""
    for field in Slice._fields:
        values = [(getattr(old, field), getattr(new, field)) for old, new in measured]
        ratios = [new / old for old, new in values]
        starts = [median(ratios[first : first + pairs_a_start]) for first in range(0, len(ratios), pairs_a_start)]
        low, _, high = quantiles(starts, n=4)
        was, is_now = (median(side) for side in zip(*values, strict=True))
        print(
            f"  {field:20} {was:10.4g} {is_now:10.4g}   ratio {median(starts):.3f} ({low:.3f} to {high:.3f})",
            flush=True,
        )


@contextmanager
def _both(programs: Programs, question: Question, *, reverse: bool) -> Iterator[tuple[Running, Running]]:
    """Start both: how fast a process is depends on its start, and on who started first."""
    before, now = _running("before", programs, question), _running("now", _programs_of(ROOT), question)
    with ExitStack() as started:
        for running in (now, before) if reverse else (before, now):
            started.enter_context(running)
        yield before, now


def _slice(running: Running, connections: int, seconds: int) -> Slice:
    running.rest()
    processes = running.processes()
    cpu = resources.cpu_seconds(processes)
    measured = put_load(running.url, running.system.body(running.question.rows(1)), connections, seconds)
    cpu = resources.cpu_seconds(running.processes()) - cpu
    if any(measured.errors.values()):
        raise SystemExit(f"errors: {measured.errors}\n{running.log_end()}")
    return Slice(measured.requests / measured.seconds, measured.p50_ms, 1000 * cpu / measured.requests)


def _running(name: str, programs: Programs, question: Question) -> Running:
    system = dataclasses.replace(sepal.SEPAL, name=name, programs=programs)
    return Running(system, environments.interpreter(system), environments.FOLDER / "run" / name, question)


def _programs_of(tree: Path) -> Programs:
    def programs(site: Site) -> Iterator[Program]:
        for program in sepal.programs(site):
            if program.name != "flower":
                yield dataclasses.replace(program, cwd=tree)

    return programs


def _silent_programs(site: Site) -> Iterator[Program]:
    for program in _programs_of(ROOT)(site):
        command = list(program.command)
        if "-m" in command:
            command.insert(command.index("-m") + 1, "benchmarks.silent")
        yield dataclasses.replace(program, command=command)


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """The earlier code, in a folder of its own."""
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


if __name__ == "__main__":
    main()
