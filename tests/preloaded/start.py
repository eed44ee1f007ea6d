"""Starts and stops the server, and builds the commands of its clients."""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

VARIABLE: Final = "TESTS_PRELOADED"
MODULES: Final = (
    "api.__main__",
    "api.app",
    "api.encode",
    "celery.apps.worker",
    "celery.concurrency.asynpool",
    "celery.worker.consumer",
    "cffi.cparser",
    "narwhals._pandas_like.dataframe",
    "pandas",
    "pyarrow.pandas_compat",
    "pydantic.v1",
    "sepal_client._sync.client",
    "sepal_client.cli.commands",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "training.__main__",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
    "worker.app",
    "worker.pool.pandas_frame",
    "worker.prove",
)
_CLIENT: Final = Path(__file__).with_name("client.py")
_ROOT: Final = Path(__file__).parent.parent.parent


@contextmanager
def running_server(*modules: str, python: Sequence[str] = (sys.executable, "-m")) -> Iterator[list[str]]:
    """Run a server that imports the modules; yields the beginning of the commands of its clients.

    Args:
        modules: those to import.
        python: the beginning of the server's own command; it may be a client of another server.
    """
    with tempfile.TemporaryDirectory(prefix="sepal-preloaded-") as folder:
        path = Path(folder, "socket")
        command = [*python, "tests.preloaded.server", str(path), *modules]
        # The server ends with its input, even when this process is killed.
        with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE):
            yield client_of(path)


def client_of(path: str | Path) -> list[str]:
    """Return the beginning of a command that runs a module in a preloaded process; module and arguments follow."""
    return [sys.executable, "-I", "-S", str(_CLIENT), str(path)]


def is_running() -> bool:
    """Whether this test run has a server."""
    return VARIABLE in os.environ


def client() -> list[str]:
    """Return the beginning of a command that runs a module; in a preloaded process if this test run has a server."""
    return list(json.loads(os.environ[VARIABLE])) if is_running() else [sys.executable, "-m"]


def publish(command: list[str]) -> None:
    """Let this process and its children find the server of this test run."""
    os.environ[VARIABLE] = json.dumps(command)


class ForkedProcess:
    """A process of the server of this test run, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, arguments: Sequence[str], folder: Path, environment: dict[str, str], log: IO[bytes]) -> None:
        self.returncode: int | None = None
        self._lock = threading.Lock()  # a supervisor may poll while another thread waits
        request = json.dumps([[*arguments], str(folder), environment]).encode()
        self._server = socket.socket(socket.AF_UNIX)
        path = Path(client()[-1])
        while not path.exists():  # the server still imports; pytest-timeout ends this loop if it has died
            time.sleep(0.02)
        self._server.connect(str(path))
        with Path(os.devnull).open("rb") as nothing:
            files = [nothing.fileno(), log.fileno(), log.fileno()]
            socket.send_fds(self._server, [struct.pack("!I", len(request))], files)
        self._server.sendall(request)
        (self.pid,) = struct.unpack("!i", self._server.recv(4, socket.MSG_WAITALL))

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        with self._lock:
            return self._wait(0) if self.returncode is None and self._has_ended(0) else self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process, and return its exit code."""
        with self._lock:
            return self._wait(timeout)

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            if not self._has_ended(timeout):
                raise subprocess.TimeoutExpired("a preloaded process", timeout or 0)
            (self.returncode,) = struct.unpack("!i", self._server.recv(4, socket.MSG_WAITALL))
            self._server.close()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, seconds: float | None) -> bool:
        return bool(select.select([self._server], [], [], seconds)[0])
