"""One start of a system: its processes, until they answer correctly, and their end, with nothing left behind."""

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import httpx
import psutil

from benchmarks.serving import resources
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.question import Question
from benchmarks.serving.systems import Program, Site, System, agree

START_SECONDS: Final = 60
STOP_SECONDS: Final = 10
ANSWER_SECONDS: Final = 30
_LOG_LINES: Final = 12
_OTHER_PORTS: Final = 2

# A system is at rest when all its processes use less than this together: idle ones poll and send heartbeats.
_REST_SHARE: Final = 0.15
_REST_WINDOW: Final = 0.2
_REST_SECONDS: Final = 10.0


class Running:
    """A context in which a system runs and answers."""

    def __init__(self, system: System, python: Path, folder: Path, question: Question) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        port, redis_port, *others = _free_ports(2 + _OTHER_PORTS)
        self.system = system
        self.site = Site(python, folder, question.model, port, redis_port, others)
        self.url = f"http://127.0.0.1:{port}{system.path}"
        self.question = question
        self._mark = uuid.uuid4().hex
        self._started: list[tuple[Program, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            SystemFailed: it has ended, or does not answer correctly in time.
        """
        try:
            for program in self.system.programs(self.site):
                self._start(program)
            self._wait_for_an_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def processes(self) -> list[psutil.Process]:
        """Every process of the system that lives."""
        return resources.processes((popen.pid for _, popen in self._started), self._mark)

    def check(self, n_rows: int) -> None:
        """Ask once.

        Raises:
            SystemFailed: there is no answer, or it is not the pipeline's own.
        """
        body = self.system.body(self.question.rows(n_rows))
        try:
            response = httpx.post(
                self.url, content=body, headers={"Content-Type": "application/json"}, timeout=ANSWER_SECONDS
            )
            if response.status_code != httpx.codes.OK:
                raise SystemFailed(f"it answered {response.status_code}: {response.text[:200]}")
            given = self.system.read(response.json())
        except (httpx.TransportError, ValueError, KeyError, TypeError) as error:
            raise SystemFailed(f"no answer: {error or type(error).__name__}") from error
        if not agree(given, self.question.answer(n_rows)):
            raise SystemFailed(f"a wrong answer: {response.text[:200]}")

    def rest(self) -> None:
        """Wait until it has worked off what an earlier load has left, for a bounded time."""
        deadline = time.monotonic() + _REST_SECONDS
        while time.monotonic() < deadline:
            processes = self.processes()
            before = resources.cpu_seconds(processes)
            time.sleep(_REST_WINDOW)
            if resources.cpu_seconds(processes) - before < _REST_SHARE * _REST_WINDOW:
                return

    def log_end(self) -> str:
        """The last lines of every log."""
        logs = sorted(self.site.folder.glob("*.log"))
        ends = {log.name: log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:] for log in logs}
        return "\n".join("\n".join([f"{name}:", *lines]) for name, lines in ends.items() if lines)

    def stop(self) -> None:
        """End every process: the last first, then by force whatever has not ended by itself."""
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

    def _start(self, program: Program) -> None:
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
            self._wait_for(lambda: "" if _listens(port) else f"{program.name} does not listen")

    def _wait_for_an_answer(self) -> None:
        def fault() -> str:
            try:
                self.check(1)
            except SystemFailed as failure:
                return str(failure)
            return ""

        self._wait_for(fault)

    def _wait_for(self, fault: Callable[[], str]) -> None:
        """Wait until there is nothing to complain of."""
        deadline = time.monotonic() + START_SECONDS
        while complaint := fault():
            for program, popen in self._started:
                if popen.poll() is not None:
                    raise SystemFailed(f"{program.name} ended with exit code {popen.returncode}\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise SystemFailed(f"after {START_SECONDS} s {complaint}\n{self.log_end()}")
            time.sleep(0.1)


def _listens(port: int) -> bool:
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
