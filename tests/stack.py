"""Starts real brokers, workers and gateways on free ports, and leaves nothing behind."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import redis

from local import broker
from shared.store.schema import Counter, Key
from tests.patience import patience

T = TypeVar("T")

ROOT = Path(__file__).parent.parent

# In the environment of every process that the tests start, and so of every one that those start.
SESSION_VARIABLE = "SEPAL_TESTS"
SESSION = uuid.uuid4().hex


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], T | None], what: str) -> T:
    """Poll until the condition holds, and return what it returned."""
    seconds = patience()
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)
    return found


def clean_environment(**settings: object) -> dict[str, str]:
    """This process's environment with these SEPAL_ settings and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")}
    environment[SESSION_VARIABLE] = SESSION
    return environment | {f"SEPAL_{name.upper()}": str(value) for name, value in settings.items()}


class Part:
    """One process of a stack, with its log."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], folder: Path, cwd: Path = ROOT
    ) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            # A group of its own, as a terminal gives it: a test can press Ctrl-C without ending itself.
            self.popen = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.popen.pid)

    def wait(self) -> int:
        """Wait for the end of the process; returns its exit code."""
        return self.popen.wait(timeout=patience())

    def stop(self) -> int:
        """Ask the process to end, and take its children along if it does not."""
        children = self.process.children(recursive=True) if self.popen.poll() is None else []
        self.popen.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()
        finally:
            for child in children:
                if child.is_running():
                    child.kill()

    def kill(self) -> None:
        """End the process and its children without a word."""
        if self.popen.poll() is None:
            children = self.process.children(recursive=True)
            self.popen.kill()  # before its children: it would replace them
            for child in children:
                child.kill()
            self.popen.wait()


class Stack:
    """A broker, and as many workers and gateways as a test starts."""

    def __init__(self, folder: Path, model_dir: Path, **settings: object) -> None:
        self.folder = folder
        self.redis_port = free_port()
        self.settings = {
            "redis_url": f"redis://127.0.0.1:{self.redis_port}/0",
            "model_dir": model_dir,
            "wait_seconds": min(patience() / 2, 60),  # as long as a gateway lets anybody wait; clients wait for longer
            **settings,
        }
        self.parts: list[Part] = []
        self.gateways: list[Gateway] = []
        self.redis = redis.Redis(port=self.redis_port)

    def start_broker(self) -> Part:
        part = self._start("broker", broker.command(self.redis_port, self.folder, fsync="always"))
        wait_for(self._broker_answers, "the broker")
        return part

    def start_worker(self, **settings: object) -> Part:
        return self._start("worker", [sys.executable, "-m", "worker"], **settings)

    def start_gateway(self, module: str = "api", **settings: object) -> "Gateway":
        port = free_port()
        part = self._start("gateway", [sys.executable, "-m", module], api_port=port, **settings)
        gateway = Gateway(part, port)
        self.gateways.append(gateway)
        return gateway

    def part(self, name: str) -> Part:
        """The first process that was started as a `worker`, a `gateway` or the `broker`."""
        return next(part for part in self.parts if part.log.name == f"{name}.log")

    def count(self, counter: str) -> int:
        """Rows that were ever `accepted`, or became `final`."""
        return sum(int(count or 0) for count in self.redis.hmget(Key.BACKLOG, Counter[counter.upper()].fields))

    def stop(self) -> None:
        """End everything, the broker last."""
        for gateway in self.gateways:
            gateway.client.close()
        for part in reversed(self.parts):
            part.kill()
        self.redis.close()

    def _start(self, name: str, command: list[str], **settings: object) -> Part:
        part = Part(name, command, clean_environment(**{**self.settings, **settings}), self.folder)
        self.parts.append(part)
        return part

    def _broker_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.ConnectionError:
            return False


class Client:
    """Speaks to a gateway, wherever it runs."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=patience())
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
        """Ask until the prediction is final."""

        def final() -> httpx.Response | None:
            response = self.client.get(location)
            return response if response.status_code != 202 else None

        return wait_for(final, f"a final {location}")


class Gateway(Client):
    """A gateway process and a client that speaks to it."""

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
    """A ready stack of one broker, one worker and one gateway."""
    stack = Stack(folder, model_dir, **settings)
    try:
        stack.start_broker()
        stack.start_worker()
        gateway = stack.start_gateway(gateway_module).wait_until_ready()
        yield stack, gateway
    finally:
        stack.stop()


def pool_process(worker: Part) -> psutil.Process:
    """The worker's first pool process."""
    return wait_for(worker.process.children, "a pool process")[0]


def maps_sklearn(process: psutil.Process) -> bool:
    """Whether the process has a file of scikit-learn in its memory."""
    return "/sklearn/" in Path(f"/proc/{process.pid}/maps").read_text()


def left_behind() -> list[psutil.Process]:
    """The living processes that the tests of this session have started."""
    mark = f"{SESSION_VARIABLE}={SESSION}".encode()
    return [process for process in psutil.process_iter() if mark in _environment(process).split(b"\0")]


def _environment(process: psutil.Process) -> bytes:
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:  # it has ended, or belongs to somebody else
        return b""
