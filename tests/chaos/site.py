"""The site under test: a broker, two workers, two gateways, and a supervisor that restarts them."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import redis

from local import broker
from tests.chaos import clock
from tests.chaos.bulk.storage import Storage
from tests.chaos.proxy import Proxy
from tests.models import save_troublesome
from tests.stack import Client, Part, clean_environment, free_port, start_module, start_new_module, wait_for

_SUPERVISION_SECONDS: Final = 0.05

SETTINGS: Final[dict[str, Any]] = {
    # Longer than a run, plus the hour by which a clock may be moved: each result is fetched again at the end.
    "result_ttl_seconds": 86_400,
    "answered_ttl_seconds": 86_400,
    "worker_memory_bytes": 2 * 1024**3,
}
# Ten times the slowest batch that does not hang. Batches take longer while the broker is away.
LIMITS: Final[dict[str, Any]] = {"batch_seconds": 2, "batch_soft_seconds": 1}
_BULK: Final[dict[str, Any]] = {"worker_queues": "bulk", "worker_nice": 10}
_FOR_BOTH_QUEUES: Final[list[dict[str, Any]]] = [{}, {}]
_FOR_EITHER_QUEUE: Final[list[dict[str, Any]]] = [{"worker_queues": "interactive"}, _BULK, _BULK]


class SupervisedProcess:
    """A process that is killed together with its process group, and restarted with the same command."""

    def __init__(self, start: Callable[[], Part]) -> None:
        self._start = start
        self.part = start()
        self.started = 1

    @property
    def pid(self) -> int:
        return self.part.popen.pid

    @property
    def is_dead(self) -> bool:
        return self.part.popen.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kill the process and its children, and wait for its end."""
        self.signal(signal.SIGKILL)
        self.part.popen.wait()

    def restart(self) -> None:
        """Kill any remaining children, and start it again."""
        try:
            self.signal(signal.SIGKILL)
        except ProcessLookupError:
            pass  # no child was left
        self.part = self._start()
        self.started += 1

    def children(self) -> list[int]:
        """Return the pids of its pool processes."""
        try:
            return [child.pid for child in psutil.Process(self.pid).children()]
        except psutil.NoSuchProcess:
            return []


class Site:
    """A complete Sepal with clients, a proxy in front of the broker, and movable clocks on request."""

    def __init__(
        self,
        folder: Path,
        *,
        has_clocks: bool = False,
        has_short_limits: bool = False,
        storage: Storage | None = None,
    ) -> None:
        """Start all processes.

        Args:
            folder: for their files.
            has_clocks: whether some of them get movable clocks.
            has_short_limits: whether the time limits of a batch are seconds instead of a minute.
            storage: of bulk predictions, which two further workers then score.
        """
        self.pid_dir = folder / "pids"
        self.pid_dir.mkdir()
        self.model_dir = save_troublesome(folder / "models", self.pid_dir)
        self.trigger = folder / "armed"
        self.redis_port = free_port()
        self.redis: Any = redis.Redis(port=self.redis_port)  # its type hints do not fit the methods used here
        self.proxy = Proxy(self.redis_port)
        self.ports = [free_port(), free_port()]
        self.clocks = {name: clock.Clock(folder / f"clock-{name}") for name in ("broker", "worker-0", "gateway-0")}
        self._folder = folder
        self._has_clocks = has_clocks
        self._settings = {
            **SETTINGS,
            **(LIMITS if has_short_limits else {}),
            "redis_url": f"redis://127.0.0.1:{self.proxy.port}/0",
            "model_dir": self.model_dir,
            "chaos_trigger": self.trigger,
            "object_store_url": folder / "objects" if storage is None else storage.url,
        }
        self._environment = {} if storage is None else storage.environment
        self._is_stopping = threading.Event()
        command, environment = broker.command(self.redis_port, folder, fsync="always"), self._environment_of("broker")
        self.broker = SupervisedProcess(lambda: Part("broker", command, environment, folder))
        wait_for(self.broker_answers, "the broker")
        kinds = _FOR_BOTH_QUEUES if storage is None else _FOR_EITHER_QUEUE
        probe_ports = [free_port() for _ in kinds]
        self.workers = [
            self._start(f"worker-{n}", "tests.chaos.patched_worker", worker_http_port=port, **kind)
            for n, (port, kind) in enumerate(zip(probe_ports, kinds, strict=True))
        ]
        self.gateways = [self._start(f"gateway-{n}", "api", api_port=port) for n, port in enumerate(self.ports)]
        self._clients = [Client(port) for port in (*probe_ports, *self.ports)]
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")
        self._supervisor.start()

    @property
    def processes(self) -> list[SupervisedProcess]:
        """All processes, in order of their first start."""
        return [self.broker, *self.workers, *self.gateways]

    @property
    def bulk_workers(self) -> list[SupervisedProcess]:
        """The workers of the bulk queue alone."""
        return self.workers[1:]

    def clear_pids(self) -> None:
        """Delete the files with the pids that rows have reported."""
        for path in self.pid_dir.iterdir():
            path.unlink()

    def wait_until_ready(self) -> None:
        """Wait until every worker has loaded its model and every gateway is ready."""
        wait_for(self.is_ready, f"a ready site; see {self._folder}")

    def is_ready(self) -> bool:
        """Whether the broker responds, every worker has loaded its model, and every gateway is ready."""
        return self.broker_answers() and all(client.is_ready() for client in self._clients)

    def broker_answers(self) -> bool:
        """Whether the broker has loaded its file and runs commands."""
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """Kill all processes."""
        self._is_stopping.set()
        self._supervisor.join()
        for process in reversed(self.processes):
            if not process.is_dead:
                process.kill()
        for client in self._clients:
            client.client.close()
        self.proxy.stop()
        self.redis.close()

    def _start(self, name: str, module: str, **settings: object) -> SupervisedProcess:
        # libfaketime is loaded when a program starts, so a forked process cannot have a clock.
        start = start_new_module if self._has_clock(name) else start_module
        environment = self._environment_of(name, **settings)
        return SupervisedProcess(lambda: start(name, module, environment, self._folder))

    def _environment_of(self, name: str, **settings: object) -> dict[str, str]:
        clocks = self.clocks[name].environment() if self._has_clock(name) else {}
        return clean_environment(**{**self._settings, **settings}) | self._environment | clocks

    def _has_clock(self, name: str) -> bool:
        return self._has_clocks and name in self.clocks

    def _supervise(self) -> None:
        while not self._is_stopping.wait(_SUPERVISION_SECONDS):
            for process in self.processes:
                if process.is_dead:
                    process.restart()


@contextmanager
def running_site(
    folder: Path, *, has_clocks: bool = False, has_short_limits: bool = False, storage: Storage | None = None
) -> Iterator[Site]:
    """Start a site and wait until it is ready; stop it at the end."""
    site = Site(folder, has_clocks=has_clocks, has_short_limits=has_short_limits, storage=storage)
    try:
        site.wait_until_ready()
        yield site
    finally:
        site.stop()
