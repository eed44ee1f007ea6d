"""Measures the CPU time and memory that a prediction costs: `python -m benchmarks.sizing`.

Each round starts Sepal as `make run` does, with one gateway process, one pool process and a long retention. It sends
single rows over 128 connections; then single rows one by one, so that each is alone in its batch; then predictions of
1,000 rows; finally full batches while the worker is suspended, which are run when it is resumed. CPU time is measured
per process; the broker reports the size of its memory and append-only file. Prints a table; `--write` writes it to
docs/operations.md.
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

from benchmarks.growth.client import Client, encode_request
from benchmarks.serving import machine, resources
from benchmarks.serving.environments import FOLDER
from benchmarks.serving.load import put_load
from benchmarks.serving.markdown import format_machine, format_spread, table
from benchmarks.serving.running import Running
from benchmarks.serving.sepal import SEPAL, count_rows
from benchmarks.serving.summary import Spread
from benchmarks.serving.systems import encode_plain_body
from benchmarks.serving.workload import ROOT, Workload
from shared.store.schema import Counter, Key

_PAGE: Final = ROOT / "docs" / "operations.md"
_BEGIN: Final = "<!-- sizing: written by `python -m benchmarks.sizing --write` -->"
_END: Final = "<!-- end of sizing -->"

_CONNECTIONS: Final = 128
_WARM_UP_SECONDS: Final = 2
_SINGLE_ROW_PREDICTIONS: Final = 1_000  # predictions
_LARGE_PREDICTIONS: Final = 100  # predictions
_LARGE_ROWS: Final = 1_000
_FULL_BATCHES: Final = 500  # batches
_FULL_ROWS: Final = 1_024  # the limit in api.predictions.open_batches
_UNMEASURED_ROWS: Final = _FULL_BATCHES * _FULL_ROWS // 10  # until a resumed worker is at full speed
_POLL_SECONDS: Final = 0.005
_TIMEOUT_SECONDS: Final = 60

_PARTS: Final = ("gateway", "worker's parent", "pool process", "broker", "Flower")
Figures = dict[str, float]


def main() -> None:
    """Measure, and print the table; with `--write`, write it to the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8, help="duration of the load of single rows in each round")
    parser.add_argument("--write", action="store_true", help=f"write the table into {_PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    os.environ |= {"SEPAL_ANSWERED_TTL_SECONDS": "3600", "SEPAL_RESULT_TTL_SECONDS": "3600"}
    workload = Workload.load()
    rounds = [_measure_round(number, workload, arguments.seconds) for number in range(arguments.rounds)]
    text = _format_report(rounds)
    print(text)
    if arguments.write:
        before, _, rest = _PAGE.read_text().partition(_BEGIN)
        _PAGE.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{rest.partition(_END)[2]}")


def _format_report(rounds: list[Figures]) -> str:
    rows = []
    for name in rounds[0]:
        spread = Spread.from_values(figures[name] for figures in rounds)
        assert spread is not None, "every round has every figure"
        rows.append([name, format_spread(spread)])
    run = f"{format_machine(machine.describe())}; commit `{machine.checked_out_commit()}`"
    where = f"{run}; medians of {len(rounds)} rounds, "
    return f"{table(['', 'measured'], rows)}\n\n{where}lowest and highest in brackets."


def _measure_round(number: int, workload: Workload, seconds: int) -> Figures:
    with (
        Running(SEPAL, Path(sys.executable), FOLDER / "run" / "sizing", workload) as running,
        redis.Redis(port=running.site.redis_port) as store,
        Client(running.site.port) as client,
    ):
        store.config_set("auto-aof-rewrite-percentage", 0)  # a rewrite would change the file's length meanwhile
        site = _Site(running, store, client, workload)
        figures = (
            site.measure_single_rows(seconds)
            | site.measure_rows_alone()
            | site.measure_large_predictions()
            | site.measure_full_batches()
            | site.measure_memory()
        )
    print(f"round {number + 1}: {figures}", file=sys.stderr, flush=True)
    return figures


class _StoreSizes(NamedTuple):
    """The sizes of the store at one moment."""

    rows: int
    keys: int
    memory_bytes: int
    file_bytes: int


class _Site:
    """A running Sepal, with a method for each kind of load."""

    def __init__(self, running: Running, store: redis.Redis, client: Client, workload: Workload) -> None:
        self._running = running
        self._store = store
        self._client = client
        self._workload = workload

    def measure_single_rows(self, seconds: int) -> Figures:
        """Measure single rows over many connections."""
        bodies = self._running.bodies(1)
        put_load(self._running.url, bodies, _CONNECTIONS, _WARM_UP_SECONDS)
        before, cpu = self._read_store_sizes(), self._cpu_seconds()
        measured = put_load(self._running.url, bodies, _CONNECTIONS, seconds)
        if any(measured.errors.values()):
            sys.exit(f"sizing: some requests failed: {measured.errors}")
        after, used = self._read_store_sizes(), _cpu_differences(cpu, self._cpu_seconds())
        n, name = after.rows - before.rows, f"single rows, {_CONNECTIONS} connections: "
        figures = {f"{name}predictions/s": measured.requests / measured.seconds}
        figures |= {f"{name}CPU µs per prediction, {part}": used[part] / n * 1e6 for part in _PARTS}
        figures |= {f"{name}CPU µs per prediction, total": sum(used.values()) / n * 1e6}
        figures |= {f"{name}predictions per batch": n / (after.keys - before.keys)}
        return figures | _stored_per_prediction("a single row in a batch of that size", before, after, n)

    def measure_rows_alone(self) -> Figures:
        """Measure single rows that are sent one by one."""
        name, cpu = "a single row alone in its batch", self._cpu_seconds()
        kept = self._submit_one_by_one(_SINGLE_ROW_PREDICTIONS, 1)
        used = _cpu_differences(cpu, self._cpu_seconds())
        return {
            f"{name}: CPU µs, {part}": used[part] / _SINGLE_ROW_PREDICTIONS * 1e6 for part in _PARTS
        } | _stored_per_prediction(name, *kept, _SINGLE_ROW_PREDICTIONS)

    def measure_large_predictions(self) -> Figures:
        """Measure predictions of many rows that are sent one by one."""
        return _stored_per_prediction(
            f"{_LARGE_ROWS:,} rows", *self._submit_one_by_one(_LARGE_PREDICTIONS, _LARGE_ROWS), _LARGE_PREDICTIONS
        )

    def measure_full_batches(self) -> Figures:
        """Measure full batches that are queued when the worker is resumed."""
        raw = encode_request(
            "POST", "/predict", encode_plain_body(self._workload.rows(_FULL_ROWS)), prefer="respond-async"
        )
        done = self._read_store_sizes().rows
        gateway = self._cpu_seconds()["gateway"]
        with self._suspended_worker():
            for _ in range(_FULL_BATCHES):
                self._client.time_request(raw, 202)
            gateway = self._cpu_seconds()["gateway"] - gateway
        self._wait_for_final(done + _UNMEASURED_ROWS)
        first, cpu, began = self._count_final_rows(), self._cpu_seconds(), time.perf_counter()
        self._wait_for_final(done + _FULL_BATCHES * _FULL_ROWS)
        elapsed, used = time.perf_counter() - began, _cpu_differences(cpu, self._cpu_seconds())
        n, name = self._count_final_rows() - first, f"batches of {_FULL_ROWS:,} rows: "
        figures = {f"{name}rows/s of one pool process": n / elapsed}
        for part in ("pool process", "worker's parent", "broker"):
            figures[f"{name}CPU µs per row, {part}"] = used[part] / n * 1e6
        figures[f"{name}CPU µs per row accepted as JSON, gateway"] = gateway / (_FULL_BATCHES * _FULL_ROWS) * 1e6
        return figures

    def measure_memory(self) -> Figures:
        """Measure the memory of each process at the end of the round."""
        return {
            f"memory at the end, MiB: {part}": resources.memory_mib(processes)
            for part, processes in self._processes().items()
            if part != "broker"  # its memory per prediction is measured above
        }

    def _submit_one_by_one(self, n_predictions: int, n_rows: int) -> tuple[_StoreSizes, _StoreSizes]:
        raw = encode_request("POST", "/predict", encode_plain_body(self._workload.rows(n_rows)))
        before = self._read_store_sizes()
        for _ in range(n_predictions):
            self._client.time_request(raw, 200)
        return before, self._read_store_sizes()

    def _read_store_sizes(self) -> _StoreSizes:
        """Read the store once all rows are final and the processes are idle."""
        rows = count_rows(self._running.site).final
        self._running.wait_until_idle()
        info: Any = self._store.info()
        keys: Any = self._store.dbsize()
        return _StoreSizes(rows, keys, info["used_memory"], info["aof_current_size"])

    def _count_final_rows(self) -> int:
        counts: Any = self._store.hmget(Key.BACKLOG, Counter.FINAL.fields)
        return sum(int(count or 0) for count in counts)

    def _wait_for_final(self, rows: int) -> None:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while self._count_final_rows() < rows:
            if time.monotonic() > deadline:
                sys.exit(f"sizing: {rows - self._count_final_rows():,} rows are not final after {_TIMEOUT_SECONDS} s")
            time.sleep(_POLL_SECONDS)

    def _cpu_seconds(self) -> dict[str, float]:
        return {part: resources.cpu_seconds(processes) for part, processes in self._processes().items()}

    def _processes(self) -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {part: [] for part in _PARTS}
        for process in self._running.processes():
            found[_process_name(process)].append(process)
        return found

    @contextmanager
    def _suspended_worker(self) -> Iterator[None]:
        """Suspend the worker; only for seconds, because after half a minute it ends itself."""
        found = self._processes()
        with resources.suspended(found["worker's parent"] + found["pool process"]):
            yield


def _process_name(process: psutil.Process) -> str:
    words = process.cmdline()
    if "flower" in words:
        return "Flower"
    if words[1:3] == ["-m", "api"]:
        return "gateway"
    if words[1:3] != ["-m", "worker"]:
        return "broker"
    parent = process.parent()
    return "pool process" if parent is not None and parent.cmdline()[1:3] == ["-m", "worker"] else "worker's parent"


def _cpu_differences(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {part: after[part] - before[part] for part in _PARTS}


def _stored_per_prediction(name: str, before: _StoreSizes, after: _StoreSizes, n_predictions: int) -> Figures:
    return {
        f"{name}: bytes of memory kept": (after.memory_bytes - before.memory_bytes) / n_predictions,
        f"{name}: bytes of append-only file": (after.file_bytes - before.file_bytes) / n_predictions,
    }


if __name__ == "__main__":
    main()
