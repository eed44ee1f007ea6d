"""What a prediction costs each process and the store: `python -m benchmarks.sizing`.

Sepal as `make run` starts it, afresh in every round, with one gateway process and one pool process, and results that
are kept. Each round puts single rows on it over 128 connections; then sends single rows one after the other, so that
each has a batch to itself; then predictions of 1,000 rows; and at last, while the worker is stopped, full batches,
which it then works off. CPU is told apart by process, memory and append-only file are the broker's own account.
Prints a table; with `--write` it takes the place of the one in docs/operations.md.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import redis

from benchmarks.growth.caller import Caller, request
from benchmarks.serving import machine, resources
from benchmarks.serving.environments import FOLDER
from benchmarks.serving.load import put_load
from benchmarks.serving.markdown import format_machine, format_spread, table
from benchmarks.serving.question import ROOT, Question
from benchmarks.serving.running import Running
from benchmarks.serving.sepal import SEPAL, account
from benchmarks.serving.summary import Spread
from shared.store.schema import Counter, Key

_PAGE: Final = ROOT / "docs" / "operations.md"
_BEGIN: Final = "<!-- sizing: written by `python -m benchmarks.sizing --write` -->"
_END: Final = "<!-- end of sizing -->"

_CONNECTIONS: Final = 128
_WARM_UP_SECONDS: Final = 2
_ALONE: Final = 1_000
_LARGE: Final = 100
_LARGE_ROWS: Final = 1_000
_FULL: Final = 500
_FULL_ROWS: Final = 1_024  # api.predictions.open_batches sends no more in one batch
_HEAD: Final = _FULL * _FULL_ROWS // 10  # by then a worker that goes on again is at work
_LOOK_SECONDS: Final = 0.005
_PATIENCE_SECONDS: Final = 60

_PARTS: Final = ("gateway", "worker's parent", "pool process", "broker", "Flower")
Figures = dict[str, float]


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8, help="of single rows in each round")
    parser.add_argument("--write", action="store_true", help=f"into {_PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    os.environ |= {"SEPAL_ANSWERED_TTL_SECONDS": "3600", "SEPAL_RESULT_TTL_SECONDS": "3600"}
    question = Question.load()
    rounds = [_round(number, question, arguments.seconds) for number in range(arguments.rounds)]
    text = _report(rounds)
    print(text)
    if arguments.write:
        before, _, rest = _PAGE.read_text().partition(_BEGIN)
        _PAGE.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{rest.partition(_END)[2]}")


def _report(rounds: list[Figures]) -> str:
    rows = []
    for name in rounds[0]:
        spread = Spread.over(figures[name] for figures in rounds)
        assert spread is not None, "every round has every figure"
        rows.append([name, format_spread(spread)])
    where = f"{format_machine(machine.describe())}; commit `{machine.commit()}`; medians of {len(rounds)} rounds, "
    return f"{table(['', 'measured'], rows)}\n\n{where}lowest and highest in brackets."


def _round(number: int, question: Question, seconds: int) -> Figures:
    with (
        Running(SEPAL, Path(sys.executable), FOLDER / "run" / "sizing", question) as running,
        redis.Redis(port=running.site.redis_port) as client,
        Caller(running.site.port) as caller,
    ):
        client.config_set("auto-aof-rewrite-percentage", 0)  # a file that is rewritten meanwhile has no length to read
        site = _Site(running, client, caller, question)
        figures = site.single(seconds) | site.alone() | site.large() | site.full() | site.memory()
    print(f"round {number + 1}: {figures}", file=sys.stderr, flush=True)
    return figures


class _Kept(NamedTuple):
    """What the store holds at one moment."""

    rows: int
    keys: int
    memory_bytes: int
    file_bytes: int


class _Site:
    """One running Sepal, and ways to use it."""

    def __init__(self, running: Running, client: redis.Redis, caller: Caller, question: Question) -> None:
        self._running = running
        self._client = client
        self._caller = caller
        self._question = question

    def single(self, seconds: int) -> Figures:
        """Single rows over many connections."""
        body = SEPAL.body(self._question.rows(1))
        put_load(self._running.url, body, _CONNECTIONS, _WARM_UP_SECONDS)
        before, cpu = self._kept(), self._cpu()
        measured = put_load(self._running.url, body, _CONNECTIONS, seconds)
        if any(measured.errors.values()):
            sys.exit(f"sizing: not every request was answered: {measured.errors}")
        after, used = self._kept(), _since(cpu, self._cpu())
        n, name = after.rows - before.rows, f"single rows, {_CONNECTIONS} connections: "
        figures = {f"{name}predictions/s": measured.requests / measured.seconds}
        figures |= {f"{name}CPU µs a prediction, {part}": used[part] / n * 1e6 for part in _PARTS}
        figures |= {f"{name}CPU µs a prediction, all of them": sum(used.values()) / n * 1e6}
        figures |= {f"{name}predictions a batch": n / (after.keys - before.keys)}
        return figures | _stored("a single row that shares its batch so", before, after, n)

    def alone(self) -> Figures:
        """Single rows, one after the other."""
        name, cpu = "a single row that has a batch to itself", self._cpu()
        kept = self._ask(_ALONE, 1)
        used = _since(cpu, self._cpu())
        return {f"{name}: CPU µs, {part}": used[part] / _ALONE * 1e6 for part in _PARTS} | _stored(name, *kept, _ALONE)

    def large(self) -> Figures:
        """Predictions of many rows, one after the other."""
        return _stored(f"{_LARGE_ROWS:,} rows", *self._ask(_LARGE, _LARGE_ROWS), _LARGE)

    def full(self) -> Figures:
        """Full batches that wait when the worker goes on again."""
        raw = request("POST", "/predict", SEPAL.body(self._question.rows(_FULL_ROWS)), prefer="respond-async")
        done = self._kept().rows
        gateway = self._cpu()["gateway"]
        with self._stopped_worker():
            for _ in range(_FULL):
                self._caller.timed(raw, 202)
            gateway = self._cpu()["gateway"] - gateway
        self._wait_for_final(done + _HEAD)
        first, cpu, began = self._final(), self._cpu(), time.perf_counter()
        self._wait_for_final(done + _FULL * _FULL_ROWS)
        elapsed, used = time.perf_counter() - began, _since(cpu, self._cpu())
        n, name = self._final() - first, f"batches of {_FULL_ROWS:,} rows: "
        figures = {f"{name}rows/s of one pool process": n / elapsed}
        for part in ("pool process", "worker's parent", "broker"):
            figures[f"{name}CPU µs a row, {part}"] = used[part] / n * 1e6
        figures[f"{name}CPU µs a row accepted as JSON, gateway"] = gateway / (_FULL * _FULL_ROWS) * 1e6
        return figures

    def memory(self) -> Figures:
        """What each process takes after all that."""
        return {
            f"memory after all that, MiB: {part}": resources.memory_mib(processes)
            for part, processes in self._processes().items()
            if part != "broker"  # what it keeps is told above
        }

    def _ask(self, times: int, n_rows: int) -> tuple[_Kept, _Kept]:
        raw = request("POST", "/predict", SEPAL.body(self._question.rows(n_rows)))
        before = self._kept()
        for _ in range(times):
            self._caller.timed(raw, 200)
        return before, self._kept()

    def _kept(self) -> _Kept:
        """Look once everything is final, and nothing is under way."""
        rows = account(self._running.site).final
        self._running.rest()
        info: Any = self._client.info()
        keys: Any = self._client.dbsize()
        return _Kept(rows, keys, info["used_memory"], info["aof_current_size"])

    def _final(self) -> int:
        counts: Any = self._client.hmget(Key.BACKLOG, Counter.FINAL.fields)
        return sum(int(count or 0) for count in counts)

    def _wait_for_final(self, rows: int) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._final() < rows:
            if time.monotonic() > deadline:
                sys.exit(f"sizing: {rows - self._final():,} rows are not final after {_PATIENCE_SECONDS} s")
            time.sleep(_LOOK_SECONDS)

    def _cpu(self) -> dict[str, float]:
        return {part: resources.cpu_seconds(processes) for part, processes in self._processes().items()}

    def _processes(self) -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {part: [] for part in _PARTS}
        for process in self._running.processes():
            found[_part(process)].append(process)
        return found

    @contextmanager
    def _stopped_worker(self) -> Iterator[None]:
        """For seconds: one that stands still for half a minute ends."""
        found = self._processes()
        with resources.stopped(found["worker's parent"] + found["pool process"]):
            yield


def _part(process: psutil.Process) -> str:
    words = process.cmdline()
    if "flower" in words:
        return "Flower"
    if words[1:3] == ["-m", "api"]:
        return "gateway"
    if words[1:3] != ["-m", "worker"]:
        return "broker"
    parent = process.parent()
    return "pool process" if parent is not None and parent.cmdline()[1:3] == ["-m", "worker"] else "worker's parent"


def _since(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {part: after[part] - before[part] for part in _PARTS}


def _stored(what: str, before: _Kept, after: _Kept, predictions: int) -> Figures:
    return {
        f"{what}: bytes of memory kept": (after.memory_bytes - before.memory_bytes) / predictions,
        f"{what}: bytes of append-only file": (after.file_bytes - before.file_bytes) / predictions,
    }


if __name__ == "__main__":
    main()
