"""Starts real brokers, workers and gateways on free ports, and stops them."""

import os
import random
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx
import psutil
import redis

from local import broker
from shared.store.schema import Counter, Key
from tests.patience import longest_test, patience
from tests.preloaded import start as preloaded

T = TypeVar("T")

ROOT = Path(__file__).parent.parent

# In the environment of every process that the tests start, and of its children.
SESSION_VARIABLE = "SEPAL_TESTS"
SESSION = uuid.uuid4().hex
_logs: set[str] = set()  # the files to which the processes write that the tests start

_PORTS = range(15_000, 32_000)  # the kernel takes the ports of outgoing connections from 32,768 up


def _own_ports() -> Iterator[int]:
    """Yield this process's part of the range in random order; each process of pytest-xdist has another part."""
    index = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = _PORTS[index :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    yield from random.SystemRandom().sample(ports, len(ports))


_unused_ports = _own_ports()


def free_port() -> int:
    """Return a port on which no process listens; never the same port twice."""
    return next(port for port in _unused_ports if _can_bind(port))


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Return whether a process accepts connections on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], T | None], description: str) -> T:
    """Call `condition` until it returns a true value, and return that; fail at the time-out."""
    seconds = patience()
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out after {seconds} s while waiting for {description}")
        time.sleep(0.02)
    return found


def clean_environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with these SEPAL_ settings and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")}
    environment[SESSION_VARIABLE] = SESSION
    return environment | {f"SEPAL_{name.upper()}": str(value) for name, value in settings.items()}


def run_module(
    module: str,
    *arguments: object,
    cwd: Path = ROOT,
    environment: dict[str, str] | None = None,
    python: Sequence[str] = (sys.executable, "-m"),
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` until it ends.

    Args:
        module: the module.
        arguments: its arguments.
        cwd: the folder to run it in.
        environment: its environment; without it, that of this process without settings of Sepal.
        python: the beginning of the command; `tests.preloaded.start.client()` is 30 times as quick.
    """
    return subprocess.run(
        [*python, module, *map(str, arguments)],
        cwd=cwd,
        env=(clean_environment() if environment is None else environment) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=longest_test(),
        check=False,
    )


class Part:
    """One process of a stack, with its log."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], folder: Path, cwd: Path = ROOT
    ) -> None:
        self.log = folder / f"{name}.log"
        _logs.add(str(self.log))
        with self.log.open("ab") as log:
            self.popen = self._start(command, environment, cwd, log)

    @staticmethod
    def _start(
        command: list[str], environment: dict[str, str], cwd: Path, log: IO[bytes]
    ) -> "subprocess.Popen[bytes] | preloaded.ForkedProcess":
        # A process group, as in a terminal: a test can send Ctrl-C to it without ending itself.
        return subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.popen.pid)

    def wait(self) -> int:
        """Wait for the end of the process; return its exit code."""
        return self.popen.wait(timeout=patience())

    def stop(self) -> int:
        """Terminate the process, or kill it after the time-out; kill its remaining children; return the exit code."""
        children = self._descendants()
        self.popen.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()
        finally:
            _kill(children)

    def _descendants(self) -> list[psutil.Process]:
        try:
            return self.process.children(recursive=True) if self.popen.poll() is None else []
        except psutil.NoSuchProcess:  # it has just ended
            return []

    def kill(self) -> None:
        """Kill the process and its children."""
        if self.popen.poll() is None:
            children = self._descendants()
            self.popen.kill()  # first, because it would replace its children
            _kill(children)
            self.popen.wait()


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it has ended with its parent
            process.kill()


class PreloadedPart(Part):
    """A process that runs a module with its libraries imported; the command is the module and its arguments."""

    @staticmethod
    def _start(command: list[str], environment: dict[str, str], cwd: Path, log: IO[bytes]) -> preloaded.ForkedProcess:
        return preloaded.ForkedProcess(command, cwd, environment, log)


def start_module(name: str, module: str, environment: dict[str, str], folder: Path) -> Part:
    """Run a module in a preloaded process if this test run has a server of them; its log is in `folder`."""
    if preloaded.is_running():
        return PreloadedPart(name, [module], environment, folder)
    return start_new_module(name, module, environment, folder)


def start_new_module(name: str, module: str, environment: dict[str, str], folder: Path) -> Part:
    """Run a module in a new process that imports its libraries; its log is in `folder`."""
    return Part(name, [sys.executable, "-m", module], environment, folder)


class Stack:
    """A broker, workers and gateways, each started by the test."""

    def __init__(self, folder: Path, model_dir: Path, **settings: object) -> None:
        self.folder = folder
        self.redis_port = free_port()
        self.settings = {
            "redis_url": f"redis://127.0.0.1:{self.redis_port}/0",
            "model_dir": model_dir,
            "object_store_url": folder / "objects",
            "wait_seconds": min(patience() / 2, 60),  # the most that a gateway allows; clients wait longer
            **settings,
        }
        self.parts: list[Part] = []
        self.gateways: list[Gateway] = []
        self.redis = redis.Redis(port=self.redis_port, socket_timeout=patience(), socket_connect_timeout=patience())

    def start_broker(self) -> Part:
        # No test cuts the power, and a gateway refuses what a slow disk keeps from being answered within a second.
        command = broker.command(self.redis_port, self.folder, fsync="no")
        self.parts.append(part := Part("broker", command, self._environment(), self.folder))
        wait_for(self._broker_answers, "the broker")
        return part

    def start_worker(self, **settings: object) -> Part:
        return self._start_module("worker", "worker", **settings)

    def start_gateway(self, module: str = "api", port: int | None = None, **settings: object) -> "Gateway":
        port = port or free_port()
        part = self._start_module("gateway", module, api_port=port, **settings)
        gateway = Gateway(part, port)
        self.gateways.append(gateway)
        return gateway

    def part(self, name: str) -> Part:
        """Return the first process that was started as `worker`, `gateway` or `broker`."""
        return next(part for part in self.parts if part.log.name == f"{name}.log")

    def count(self, counter: str) -> int:
        """Return the number of rows that were ever `accepted`, or became `final`."""
        return sum(int(count or 0) for count in self.redis.hmget(Key.BACKLOG, Counter[counter.upper()].fields))

    def stop(self) -> None:
        """Kill all processes, the broker last."""
        for gateway in self.gateways:
            gateway.client.close()
        for part in reversed(self.parts):
            part.kill()
        self.redis.close()

    def _start_module(self, name: str, module: str, **settings: object) -> Part:
        self.parts.append(part := start_module(name, module, self._environment(**settings), self.folder))
        return part

    def _environment(self, **settings: object) -> dict[str, str]:
        return clean_environment(**{**self.settings, **settings})

    def _broker_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


class Client:
    """An HTTP client of a gateway on this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        # Nothing to verify: else each client reads the certificates of certifi, which takes 30 ms of CPU.
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=patience(), verify=False)
        self.url = f"http://127.0.0.1:{port}/predict"

    def is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def predict(self, rows: Any, prefer: str | None = None) -> httpx.Response:
        headers = {"Prefer": prefer} if prefer is not None else {}
        return self.client.post("/predict", json={"data": rows}, headers=headers)

    def poll(self, location: str) -> httpx.Response:
        """Poll until the prediction is final; return the response."""

        def final() -> httpx.Response | None:
            response = self.client.get(location)
            return response if response.status_code != 202 else None

        return wait_for(final, f"a final {location}")


class Gateway(Client):
    """A gateway process and its client."""

    def __init__(self, part: Part, port: int) -> None:
        super().__init__(port)
        self.part = part

    def wait_until_ready(self) -> "Gateway":
        wait_for(self.is_ready, f"a ready gateway; see {self.part.log.parent}")
        return self


@contextmanager
def running_stack(
    folder: Path, model_dir: Path, gateway_module: str = "api", **settings: object
) -> Iterator[tuple[Stack, Gateway]]:
    """Start a stack of one broker, one worker and one gateway, and wait until it is ready."""
    stack = Stack(folder, model_dir, **settings)
    try:
        stack.start_broker()
        stack.start_worker()
        gateway = stack.start_gateway(gateway_module).wait_until_ready()
        yield stack, gateway
    finally:
        stack.stop()


def pool_process(worker: Part) -> psutil.Process:
    """Return the worker's first pool process, once there is one."""
    return wait_for(worker.process.children, "a pool process")[0]


def maps(process: psutil.Process, library: str) -> bool:
    """Whether the process has mapped a file of a Python package."""
    return f"/{library}/" in Path(f"/proc/{process.pid}/maps").read_text()


def leftover_processes() -> list[psutil.Process]:
    """Return the processes of this test session that still run."""
    mark = f"{SESSION_VARIABLE}={SESSION}".encode()
    return [
        process
        for process in psutil.process_iter()
        if mark in _environment(process).split(b"\0") or _output(process) in _logs
    ]


def _output(process: psutil.Process) -> str:
    """Return the file to which a process writes; a preloaded process shows the environment of its server."""
    try:
        return str(Path(f"/proc/{process.pid}/fd/1").readlink())
    except OSError:  # as below
        return ""


def _environment(process: psutil.Process) -> bytes:
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:  # it has ended, or belongs to another user
        return b""
