"""The order of things: rounds of all systems, and of each system all cells, so that what drifts drifts for all."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.serving import environments, machine, resources
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.load import Measured, put_load
from benchmarks.serving.question import Question
from benchmarks.serving.results import Cell, Described, Failure, Ledger, Plan, Results
from benchmarks.serving.running import Running
from benchmarks.serving.systems import System

# A cell in which the connections were not answered twice each says little of how long an answer takes.
_LEAST_ANSWERS: Final = 2
_LONGER: Final = 4


def run(systems: Sequence[System], plan: Plan, question: Question, path: Path) -> Results:
    """Measure all systems in all rounds; what there is is written after every system."""
    results = Results(machine.commit(), machine.describe(), plan, [_described(system) for system in systems])
    for number in range(plan.rounds):
        first = number % len(systems)
        for system in (*systems[first:], *systems[:first]):
            _Turn(system, number, results, question).run()
            results.write(path)
    return results


def _described(system: System) -> Described:
    return Described(system.name, system.title, dict(system.versions()), dict(system.settings()))


class _Turn:
    """One system's part of one round: start, all cells, stop."""

    def __init__(self, system: System, number: int, results: Results, question: Question) -> None:
        self._system = system
        self._number = number
        self._results = results
        self._question = question
        self._answered_rows = 0

    def run(self) -> None:
        """Measure what can be measured, and note what failed; what fails in a cell is started again for the next."""
        plan = self._results.plan
        cells = [(rows, connections) for rows in plan.rows for connections in plan.connections]
        started = True
        while started and cells:
            started = self._start_and_measure(cells)

    def _start_and_measure(self, cells: list[tuple[int, int]]) -> bool:
        """Take cells off the list until one fails; returns whether the system has started at all."""
        where, started = "start", False
        self._answered_rows = 0
        try:
            python = environments.interpreter(self._system)
            with Running(self._system, python, environments.FOLDER / "run" / self._system.name, self._question) as it:
                started = True
                while cells:
                    rows, connections = cells.pop(0)
                    where = f"{connections} connections and {rows} rows"
                    self._measure(it, connections, rows)
                self._settle_accounts(it)
        except SystemFailed as failure:
            self._note(started, where, str(failure))
        return started

    def _measure(self, running: Running, connections: int, rows: int) -> None:
        try:
            running.check(rows)
            cell = self._cell(running, connections, rows)
        except SystemFailed as failure:
            raise SystemFailed(f"{failure}\n{running.log_end()}") from failure
        self._results.cells.append(cell)
        print(
            f"round {self._number + 1}  {self._system.name:11}{connections:5} connections {rows:3} rows"
            f"{cell.requests_per_second:10.0f}/s  p50{cell.p50_ms:9.2f} ms  p99{cell.p99_ms:9.2f} ms"
            f"  cpu {cell.cpu_per_thousand or 0:7.3f} s/1000 {cell.memory_mib:6.0f} MiB"
            f"  errors {sum(cell.errors.values())}",
            flush=True,
        )

    def _cell(self, running: Running, connections: int, rows: int) -> Cell:
        plan = self._results.plan
        put = partial(self._put_load, running, connections, rows)
        put(plan.warm_up_seconds)
        measured, cpu, memory = put(plan.seconds)
        if measured.requests < _LEAST_ANSWERS * connections:
            measured, cpu, memory = put(plan.seconds * _LONGER)
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

    def _put_load(self, running: Running, connections: int, rows: int, seconds: int) -> tuple[Measured, float, float]:
        """Measure once, from rest; returns the CPU seconds and the memory, too."""
        running.rest()
        processes = running.processes()
        memory, cpu = resources.memory_mib(processes), resources.cpu_seconds(processes)
        measured = put_load(running.url, self._system.body(self._question.rows(rows)), connections, seconds)
        processes = running.processes()
        cpu = resources.cpu_seconds(processes) - cpu
        self._answered_rows += rows * (measured.requests - measured.errors["status"])
        return measured, cpu, max(memory, resources.memory_mib(processes))

    def _settle_accounts(self, running: Running) -> None:
        if self._system.account is None:
            return
        account = self._system.account(running.site)
        ledger = Ledger(self._system.name, self._number, account.accepted, account.final, self._answered_rows)
        self._results.ledgers.append(ledger)
        print(f"round {self._number + 1}  {self._system.name}: {ledger.accepted} rows accepted, {ledger.lost} lost")

    def _note(self, started: bool, where: str, reason: str) -> None:
        reason = machine.conceal(reason)
        self._results.failures.append(Failure(self._system.name, self._number, started, where, reason))
        print(f"round {self._number + 1}  {self._system.name} failed at {where}: {reason}", flush=True)
