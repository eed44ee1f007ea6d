"""Compares bulk predictions with a local script in the same run: `python -m benchmarks.bulk`.

A case is a model, an input format, an output format and a number of rows. Each round starts Sepal as `make run` does,
and scores each file with Sepal and with `benchmarks.bulk.local`, one after the other, in alternating order. The time is
measured from the first byte sent to the last byte received, without the start of either. Sepal's result is compared
with the local one.

python -m benchmarks.bulk --rounds 5
python -m benchmarks.bulk --only iris-csv --rows 1000000
python -m benchmarks.bulk memory     # peak memory during the largest case
python -m benchmarks.bulk beside     # single rows at 50 a second, with and without a bulk prediction
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

import psutil
import redis
from pyarrow import parquet

from benchmarks.bulk import data
from benchmarks.bulk.client import save_body, score
from benchmarks.bulk.memory import sampled_memory_peaks
from benchmarks.bulk.single_rows import SingleRows
from benchmarks.serving import machine, resources
from benchmarks.serving.environments import FOLDER, ensure_interpreter
from benchmarks.serving.markdown import format_machine, format_spread, table
from benchmarks.serving.peers import PEERS
from benchmarks.serving.running import Running
from benchmarks.serving.scenarios import SCENARIOS
from benchmarks.serving.sepal import SEPAL
from benchmarks.serving.summary import Spread
from benchmarks.serving.workload import Workload

FILES: Final = FOLDER / "bulk"
_WARM_UP_ROWS: Final = 100_000
_SINGLE_ROWS_SECONDS: Final = 20
_SINGLE_ROWS_PER_SECOND: Final = 50


class Case(NamedTuple):
    """A model, its input and output formats, and a number of rows."""

    model: str
    source: str
    """The format of the file."""
    n_rows: int
    target: float
    """The least ratio to the local script, or to the other service."""
    out: str = "parquet"

    @property
    def name(self) -> str:
        """The name on the command line."""
        return f"{self.model}-{self.source}"


CASES: Final = (
    Case("iris", "csv", 10_000_000, 0.4),
    Case("iris", "parquet", 10_000_000, 0.4),
    Case("penguins", "csv", 2_000_000, 1.0),
    Case("penguins", "parquet", 2_000_000, 1.0),
    Case("iris", "json", 1_000_000, 6.0, out="ndjson"),
)


class CaseFigures(NamedTuple):
    """The figures of one case in one round."""

    sepal: float
    """Rows a second."""
    other: float
    sepal_cpu: float
    """CPU seconds of the machine, without the client, per million rows."""
    other_cpu: float
    accepted: float
    """Seconds until the upload was accepted."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("speed", "memory", "beside"), default="speed")
    parser.add_argument("--only", help="names of cases, separated by commas")
    parser.add_argument("--rows", type=int, help="another number of rows")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else [case.name for case in CASES]
    cases = [case._replace(n_rows=arguments.rows or case.n_rows) for case in CASES if case.name in wanted]
    if arguments.what == "memory":
        _measure_memory(cases)
    elif arguments.what == "beside":
        _measure_single_rows_beside_bulk(cases[0], arguments.rounds)
    else:
        _compare_speed(cases, arguments.rounds)


def _compare_speed(cases: Sequence[Case], rounds: int) -> None:
    measured: dict[Case, list[CaseFigures]] = {case: [] for case in cases}
    for number in range(rounds):
        for case in cases:
            measured[case].append(_measure_case(case, is_sepal_first=bool(number % 2)))
            print(f"round {number + 1}, {case.name}: {measured[case][-1]}", file=sys.stderr, flush=True)
    header = [
        "case",
        "rows",
        "Sepal, rows/s",
        "other, rows/s",
        "ratio",
        "at least",
        "CPU s per million rows",
        "other's",
    ]
    print(table(header, [_table_row(case, some) for case, some in measured.items()]))
    run = f"{format_machine(machine.describe())}; commit `{machine.checked_out_commit()}`"
    where = f"{run}; medians of {rounds} rounds, lowest "
    print(f"\n{where}and highest in brackets. The other is a local script; for JSON, the service without a queue.")


def _table_row(case: Case, case_figures: Sequence[CaseFigures]) -> list[str]:
    figures = [
        [each.sepal for each in case_figures],
        [each.other for each in case_figures],
        [each.sepal / each.other for each in case_figures],
        [each.sepal_cpu for each in case_figures],
        [each.other_cpu for each in case_figures],
    ]
    sepal, other, ratio, cpu, other_cpu = (format_spread(Spread(median(f), min(f), max(f), len(f))) for f in figures)
    name = f"{case.model}, {case.source} in, {case.out} out"
    return [name, f"{case.n_rows:,}", sepal, other, ratio, f"{case.target:g}", cpu, other_cpu]


def _measure_case(case: Case, *, is_sepal_first: bool) -> CaseFigures:
    source = data.write_file(case.model, case.source, case.n_rows, FILES)
    target = FILES / f"result.{case.out}"
    expected = FILES / "expected.parquet"
    other = _run_in_process_service if case.source == "json" else _run_local_script
    with started_sepal(case.model) as running:
        if not is_sepal_first:
            other_seconds, other_cpu = other(case, source, expected)
        cpu, own = _busy_seconds(), time.process_time()
        times = score(running.site.port, source, target, case.out)
        cpu = _busy_seconds() - cpu - (time.process_time() - own)
        if is_sepal_first:
            other_seconds, other_cpu = other(case, source, expected)
    if case.source != "json":
        compare_results(target, expected)
    millions = case.n_rows / 1e6
    return CaseFigures(
        case.n_rows / times.received, case.n_rows / other_seconds, cpu / millions, other_cpu / millions, times.accepted
    )


def _busy_seconds() -> float:
    """Return the CPU seconds of the whole machine, because the processes that read uploads have ended by then."""
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - times.iowait)


@contextmanager
def started_sepal(model: str) -> Iterator[Running]:
    """Start Sepal, and score some rows, so that every process has loaded its libraries and the store has a rate."""
    workload = Workload.load(SCENARIOS[model].model_dir)
    with Running(SEPAL, Path(sys.executable), FOLDER / "run" / "bulk", workload) as running:
        for format_name in ("csv", "parquet"):
            small = data.write_file(model, format_name, _WARM_UP_ROWS, FILES)
            score(running.site.port, small, FILES / "warm-up.parquet")
        running.wait_until_idle()
        yield running


def _run_local_script(case: Case, source: Path, target: Path) -> tuple[float, float]:
    """Score a file with a local script; return the seconds and the CPU seconds."""
    command = [sys.executable, "-m", "benchmarks.bulk.local", str(SCENARIOS[case.model].model_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None, "a pipe"
        assert process.stdout is not None, "a pipe"
        process.stdout.readline()
        process.stdin.write(f"{source} {target}\n")
        process.stdin.close()
        seconds, cpu = map(float, process.stdout.readline().split())
    return seconds, cpu


def _run_in_process_service(case: Case, source: Path, target: Path) -> tuple[float, float]:
    """Send a file in one request to the service without a queue; return the seconds and the CPU seconds."""
    workload = Workload.load(SCENARIOS[case.model].model_dir)
    folder = FOLDER / "run" / "bulk-in-process"
    system = next(peer for peer in PEERS if peer.name == "in_process")
    with Running(system, ensure_interpreter(system), folder, workload) as running:
        _post_file(running.site.port, data.write_file(case.model, case.source, _WARM_UP_ROWS, FILES), target)
        running.wait_until_idle()
        cpu, began = resources.cpu_seconds(running.processes()), time.perf_counter()
        _post_file(running.site.port, source, target)
        return time.perf_counter() - began, resources.cpu_seconds(running.processes()) - cpu


def _post_file(port: int, source: Path, target: Path) -> None:
    """Send a file in one request to the service without a queue, and write the response to another file."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=600, blocksize=2**20)) as connection:
        connection.request("POST", "/predict", source.read_bytes(), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            sys.exit("the service without a queue refused the request")
        save_body(response, target)


def compare_results(target: Path, expected_target: Path) -> None:
    """Compare a result with the local one: labels exactly, numbers within the error due to other batch sizes."""
    for batch, own in zip(
        *(parquet.ParquetFile(path).iter_batches(65_536) for path in (target, expected_target)), strict=True
    ):
        given, wanted = batch.to_pandas(), own.to_pandas()
        labels_differ = not given.iloc[:, 0].equals(wanted.iloc[:, 0])
        if labels_differ or ((given.iloc[:, 1:] - wanted.iloc[:, 1:]).abs() > 1e-9).any(axis=None):
            sys.exit("a result differs from the local one")


def _measure_memory(cases: Sequence[Case]) -> None:
    lines = []
    for case in cases:
        source = data.write_file(case.model, case.source, case.n_rows, FILES)
        with started_sepal(case.model) as running, redis.Redis(port=running.site.redis_port) as store:
            before = int(store.info("memory")["used_memory"])
            with sampled_memory_peaks(partial(_process_groups, running)) as highest:
                score(running.site.port, source, FILES / f"result.{case.out}", case.out)
            grown = (int(store.info("memory")["used_memory"]) - before) / 2**20
        names = sorted(highest)
        lines.append([case.name, f"{case.n_rows:,}", *(f"{highest[name]:.0f}" for name in names), f"{grown:.1f}"])
    print(table(["case", "rows", *(f"{name}, MiB at the peak" for name in names), "Redis's growth, MiB"], lines))


def _process_groups(running: Running) -> Mapping[str, Sequence[psutil.Process]]:
    groups: dict[str, list[psutil.Process]] = {"gateway and its child processes": []}
    for process in running.processes():
        try:
            words = " ".join(process.cmdline())
            parent = process.parent()
            is_child = parent is not None and "-m worker" in " ".join(parent.cmdline())
        except psutil.NoSuchProcess:
            continue
        if "-m api" in words:
            groups["gateway and its child processes"].append(process)
        elif is_child:
            groups[f"pool process {process.pid}"] = [process]
    pools = [name for name in groups if name.startswith("pool")]
    largest = max(pools, key=lambda name: resources.memory_mib(groups[name]), default=None)
    return {name: some for name, some in groups.items() if name not in pools} | (
        {"largest pool process": groups[largest]} if largest else {}
    )


def _measure_single_rows_beside_bulk(case: Case, rounds: int) -> None:
    source = data.write_file(case.model, case.source, case.n_rows, FILES)
    row = Workload.load(SCENARIOS[case.model].model_dir).rows(1)[0]
    alone: list[float] = []
    beside: list[float] = []
    bulk_alone, bulk_beside = [], []
    for _ in range(rounds):
        with started_sepal(case.model) as running:
            port, target = running.site.port, FILES / f"result.{case.out}"
            without = SingleRows(port, row, _SINGLE_ROWS_PER_SECOND)
            with without.running():
                time.sleep(_SINGLE_ROWS_SECONDS)
            alone += without.milliseconds
            bulk_alone.append(score(port, source, target, case.out).received)
            running.wait_until_idle()
            during = SingleRows(port, row, _SINGLE_ROWS_PER_SECOND)
            with during.running():
                bulk_beside.append(score(port, source, target, case.out).received)
            beside += during.milliseconds
    lines = []
    for name, of in (("p50", 49), ("p99", 98)):
        one, two = quantiles(alone, n=100)[of], quantiles(beside, n=100)[of]
        lines.append([name, f"{one:.2f}", f"{two:.2f}", f"{two / one:.2f}"])
    lines.append(["slowest", f"{max(alone):.1f}", f"{max(beside):.1f}", f"{max(beside) / max(alone):.2f}"])
    print(table([f"single rows at {_SINGLE_ROWS_PER_SECOND}/s, ms", "alone", "beside bulk", "ratio"], lines))
    slower = median(bulk_beside) / median(bulk_alone)
    print(
        f"\n{case.name}, {case.n_rows:,} rows: {median(bulk_alone):.2f} s alone, {slower:.2f} times that beside them."
    )


if __name__ == "__main__":
    main()
