"""The order of things: rounds of all systems, and of each system all cells, so that what drifts drifts for all."""

import socket
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving import environments, machine, resources
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.load import put_load
from benchmarks.serving.question import ROOT, Question
from benchmarks.serving.results import Cell, Described, Failure, Ledger, Plan, Results
from benchmarks.serving.running import Running
from benchmarks.serving.systems import System


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
        """Measure what can be measured, and note what failed."""
        where, started = "start", False
        plan = self._results.plan
        try:
            python = environments.interpreter(self._system)
            with Running(self._system, python, environments.FOLDER / "run" / self._system.name, self._question) as it:
                started = True
                for rows in plan.rows:
                    for connections in plan.connections:
                        where = f"{connections} connections, {rows} rows"
                        self._measure(it, connections, rows)
                where = "the end"
                self._settle_accounts(it)
        except SystemFailed as failure:
            self._note(started, where, str(failure))

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
        body = self._system.body(self._question.rows(rows))
        self._answered_rows += rows * put_load(running.url, body, connections, plan.warm_up_seconds).requests
        running.rest()
        processes = running.processes()
        memory, cpu = resources.memory_mib(processes), resources.cpu_seconds(processes)
        measured = put_load(running.url, body, connections, plan.seconds)
        processes = running.processes()
        cpu = resources.cpu_seconds(processes) - cpu
        memory = max(memory, resources.memory_mib(processes))
        cell = Cell(
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
        self._answered_rows += rows * cell.answered
        return cell

    def _settle_accounts(self, running: Running) -> None:
        if self._system.account is None:
            return
        account = self._system.account(running.site)
        ledger = Ledger(self._system.name, self._number, account.accepted, account.final, self._answered_rows)
        self._results.ledgers.append(ledger)
        print(f"round {self._number + 1}  {self._system.name}: {ledger.accepted} rows accepted, {ledger.lost} lost")

    def _note(self, started: bool, where: str, reason: str) -> None:
        # The results are published: where on which machine they were made is nobody's business.
        for private, public in ((str(ROOT), "."), (str(Path.home()), "~"), (socket.gethostname(), "localhost")):
            reason = reason.replace(private, public)
        self._results.failures.append(Failure(self._system.name, self._number, started, where, reason))
        print(f"round {self._number + 1}  {self._system.name} failed at {where}: {reason}", flush=True)
