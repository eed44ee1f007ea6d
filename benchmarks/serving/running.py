"""Starts the processes of a system, waits until it returns correct results, and stops every process."""

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, Self

import httpx
import psutil

from benchmarks.serving import resources
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.systems import Program, Site, System, outputs_match
from benchmarks.serving.workload import Workload

START_SECONDS: Final = 60
STOP_SECONDS: Final = 10
RESPONSE_SECONDS: Final = 30
_LOG_LINES: Final = 12
_OTHER_PORTS: Final = 3
# Sent concurrently, so that a system that batches must return the right result to each request.
_CHECKED_REQUESTS: Final = 8

# A system is idle when its processes use less than this share of a core: idle ones still poll and send heartbeats.
_IDLE_SHARE: Final = 0.15
_IDLE_WINDOW: Final = 0.2
_IDLE_SECONDS: Final = 10.0


class Running:
    """A context manager that starts and stops a system."""

    def __init__(self, system: System, python: Path, folder: Path, workload: Workload) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        port, redis_port, *others = _free_ports(2 + _OTHER_PORTS)
        self.system = system
        self.site = Site(python, folder, workload.model, workload.dtypes, port, redis_port, others)
        self.url = f"http://127.0.0.1:{port}{system.path}"
        self.workload = workload
        self._mark = uuid.uuid4().hex
        self._started: list[tuple[Program, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        """Start the system.

        Raises:
            SystemFailed: a process ended, or there is no correct result in time.
        """
        try:
            for program in self.system.programs(self.site):
                self._start_program(program)
            self._wait_for_response()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def processes(self) -> list[psutil.Process]:
        """Return every live process of the system."""
        return resources.find_processes((popen.pid for _, popen in self._started), self._mark)

    def bodies(self, n_rows: int) -> list[str]:
        """Return the bodies of all requests with this number of rows."""
        return [self.system.body(rows, self.workload.dtypes) for rows in self.workload.requests(n_rows)]

    def check_results(self, n_rows: int) -> None:
        """Send a few requests concurrently and compare the results with the pipeline's.

        Raises:
            SystemFailed: a result is missing, or it differs.
        """
        with ThreadPoolExecutor(_CHECKED_REQUESTS) as pool:
            list(pool.map(partial(self._check_request, n_rows), range(_CHECKED_REQUESTS)))

    def _check_request(self, n_rows: int, first_row: int) -> None:
        body = self.system.body(self.workload.rows(n_rows, first_row), self.workload.dtypes)
        try:
            response = httpx.post(
                self.url, content=body, headers={"Content-Type": "application/json"}, timeout=RESPONSE_SECONDS
            )
            if response.status_code != httpx.codes.OK:
                raise SystemFailed(f"HTTP status {response.status_code}: {response.text[:200]}")
            given = self.system.read(response.json())
        except (httpx.TransportError, ValueError, KeyError, TypeError) as error:
            raise SystemFailed(f"no response: {error or type(error).__name__}") from error
        if not outputs_match(given, self.workload.expected_outputs(n_rows, first_row)):
            raise SystemFailed(f"wrong result: {response.text[:200]}")

    def wait_until_idle(self) -> None:
        """Wait until the system has finished the work of an earlier load, for at most 10 s."""
        deadline = time.monotonic() + _IDLE_SECONDS
        while time.monotonic() < deadline:
            processes = self.processes()
            before = resources.cpu_seconds(processes)
            time.sleep(_IDLE_WINDOW)
            if resources.cpu_seconds(processes) - before < _IDLE_SHARE * _IDLE_WINDOW:
                return

    def read_log_ends(self) -> str:
        """Return the last lines of every log."""
        logs = sorted(self.site.folder.glob("*.log"))
        ends = {log.name: log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:] for log in logs}
        return "\n".join("\n".join([f"{name}:", *lines]) for name, lines in ends.items() if lines)

    def stop(self) -> None:
        """Terminate the processes in reverse start order, then kill those that remain."""
        for _, popen in reversed(self._started):
            popen.terminate()
            try:
                popen.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                popen.kill()
        left = self.processes()
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=STOP_SECONDS)
        for _, popen in self._started:
            popen.wait()

    def _start_program(self, program: Program) -> None:
        environment = {**os.environ, **program.environment, resources.MARK: self._mark, "PYTHONDONTWRITEBYTECODE": "1"}
        path = self.site.folder / f"{len(self._started)}-{program.name}.log"
        with path.open("wb") as log:
            try:
                popen = subprocess.Popen(
                    program.command,
                    cwd=program.cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise SystemFailed(f"{program.name} did not start: {error.strerror}") from error
        self._started.append((program, popen))
        port = program.port
        if port is not None:
            self._wait_until_none(lambda: "" if _is_listening(port) else f"{program.name} does not listen")

    def _wait_for_response(self) -> None:
        def problem() -> str:
            try:
                self._check_request(n_rows=1, first_row=0)
            except SystemFailed as failure:
                return str(failure)
            return ""

        self._wait_until_none(problem)

    def _wait_until_none(self, problem: Callable[[], str]) -> None:
        """Wait until `problem` returns an empty string."""
        deadline = time.monotonic() + START_SECONDS
        while found := problem():
            for program, popen in self._started:
                if popen.poll() is not None:
                    raise SystemFailed(
                        f"{program.name} ended with exit code {popen.returncode}\n{self.read_log_ends()}"
                    )
            if time.monotonic() > deadline:
                raise SystemFailed(f"after {START_SECONDS} s: {found}\n{self.read_log_ends()}")
            time.sleep(0.1)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
