"""Runs the rounds; each measures all cells of all systems, so that changes of the machine's speed affect all alike."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.serving import environments, machine, resources
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.load import LoadFigures, put_load
from benchmarks.serving.results import Cell, Failure, Ledger, Plan, Results, SystemDescription
from benchmarks.serving.running import Running
from benchmarks.serving.systems import System
from benchmarks.serving.workload import Workload

# With fewer responses per connection, the latency of a cell is not reliable: the cell is measured again, for longer.
_MIN_RESPONSES: Final = 2
_EXTENSION_FACTOR: Final = 4


def run(systems: Sequence[System], plan: Plan, workload: Workload, path: Path) -> Results:
    """Measure all systems in all rounds; the results are written after each system."""
    results = Results(
        machine.checked_out_commit(), machine.describe(), plan, [_describe_system(system) for system in systems]
    )
    for number in range(plan.rounds):
        first = number % len(systems)
        for system in (*systems[first:], *systems[:first]):
            _Turn(system, number, results, workload).run()
            results.write(path)
    return results


def _describe_system(system: System) -> SystemDescription:
    return SystemDescription(system.name, system.title, dict(system.versions()), dict(system.settings()))


class _Turn:
    """One system in one round: start, all cells, stop."""

    def __init__(self, system: System, number: int, results: Results, workload: Workload) -> None:
        self._system = system
        self._number = number
        self._results = results
        self._workload = workload
        self._answered_rows = 0

    def run(self) -> None:
        """Measure all cells and record failures; a system that fails in a cell is restarted for the next."""
        plan = self._results.plan
        cells = [(rows, connections) for rows in plan.rows for connections in plan.connections]
        started = True
        while started and cells:
            started = self._start_and_measure(cells)

    def _start_and_measure(self, cells: list[tuple[int, int]]) -> bool:
        """Measure and remove cells until one fails; return whether the system has started."""
        where, started = "start", False
        self._answered_rows = 0
        try:
            python = environments.ensure_interpreter(self._system)
            folder = environments.FOLDER / "run" / self._system.name
            with Running(self._system, python, folder, self._workload) as running:
                started = True
                while cells:
                    rows, connections = cells.pop(0)
                    where = f"{connections} connections and {rows} rows"
                    self._measure_and_record(running, connections, rows)
                self._record_row_counts(running)
        except SystemFailed as failure:
            self._record_failure(started, where, str(failure))
        return started

    def _measure_and_record(self, running: Running, connections: int, rows: int) -> None:
        try:
            running.check_results(rows)
            cell = self._measure_cell(running, connections, rows)
        except SystemFailed as failure:
            raise SystemFailed(f"{failure}\n{running.read_log_ends()}") from failure
        self._results.cells.append(cell)
        print(
            f"round {self._number + 1}  {self._system.name:11}{connections:5} connections {rows:3} rows"
            f"{cell.requests_per_second:10.0f}/s  p50{cell.p50_ms:9.2f} ms  p99{cell.p99_ms:9.2f} ms"
            f"  cpu {cell.cpu_per_thousand or 0:7.3f} s/1000 {cell.memory_mib:6.0f} MiB"
            f"  errors {sum(cell.errors.values())}",
            flush=True,
        )

    def _measure_cell(self, running: Running, connections: int, rows: int) -> Cell:
        plan = self._results.plan
        put = partial(self._load_and_measure, running, connections, rows)
        put(plan.warm_up_seconds)
        measured, cpu, memory = put(plan.seconds)
        if measured.requests < _MIN_RESPONSES * connections:
            measured, cpu, memory = put(plan.seconds * _EXTENSION_FACTOR)
        return Cell(
            self._system.name,
            self._number,
            connections,
            rows,
            measured.requests,
            measured.seconds,
            measured.p50_ms,
            measured.p95_ms,
            measured.p99_ms,
            measured.errors,
            cpu,
            memory,
        )

    def _load_and_measure(
        self, running: Running, connections: int, rows: int, seconds: int
    ) -> tuple[LoadFigures, float, float]:
        """Put load on an idle system; return the figures, the CPU seconds and the memory in MiB."""
        running.wait_until_idle()
        processes = running.processes()
        memory, cpu = resources.memory_mib(processes), resources.cpu_seconds(processes)
        measured = put_load(running.url, running.bodies(rows), connections, seconds)
        processes = running.processes()
        cpu = resources.cpu_seconds(processes) - cpu
        self._answered_rows += rows * (measured.requests - measured.errors["status"])
        return measured, cpu, max(memory, resources.memory_mib(processes))

    def _record_row_counts(self, running: Running) -> None:
        if self._system.count_rows is None:
            return
        rows = self._system.count_rows(running.site)
        ledger = Ledger(self._system.name, self._number, rows.accepted, rows.final, self._answered_rows)
        self._results.ledgers.append(ledger)
        print(f"round {self._number + 1}  {self._system.name}: {ledger.accepted} rows accepted, {ledger.lost} lost")

    def _record_failure(self, is_started: bool, where: str, reason: str) -> None:
        reason = machine.conceal_identity(reason)
        self._results.failures.append(Failure(self._system.name, self._number, is_started, where, reason))
        print(f"round {self._number + 1}  {self._system.name} failed at {where}: {reason}", flush=True)
