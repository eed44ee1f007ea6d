"""What the faults are done to: a broker, two workers and two gateways, and a supervisor that starts the dead again."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import redis

from local import broker
from tests.chaos import clock
from tests.chaos.proxy import Proxy
from tests.models import save_troublesome
from tests.stack import Client, Part, clean_environment, free_port, maps_sklearn, wait_for

_SUPERVISION_SECONDS: Final = 0.05

SETTINGS: Final[dict[str, Any]] = {
    # Every result is there until the end, when each is fetched again; an hour more than a clock may be moved.
    "result_ttl_seconds": 86_400,
    "answered_ttl_seconds": 86_400,
    "worker_memory_bytes": 2 * 1024**3,
}
# Ten times what the slowest batch takes that is not meant to hang. A broker's absence takes longer.
LIMITS: Final[dict[str, Any]] = {"batch_seconds": 2, "batch_soft_seconds": 1}


class Slot:
    """One supervised process: it is killed by its whole group, and started again as it was."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._make: Callable[[], Part] = lambda: Part(name, command, environment, folder)
        self.part = self._make()
        self.started = 1

    @property
    def pid(self) -> int:
        return self.part.popen.pid

    @property
    def is_dead(self) -> bool:
        return self.part.popen.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children, all at once."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """End the process and its children without a word, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.part.popen.wait()

    def start_again(self) -> None:
        """Start it as it was, and without the children that it may have left behind."""
        try:
            self.signal(signal.SIGKILL)
        except ProcessLookupError:
            pass  # there were none
        self.part = self._make()
        self.started += 1

    def children(self) -> list[int]:
        """The pids of its pool processes."""
        return [child.pid for child in self._children()]

    def has_loaded(self) -> bool:
        """Whether one of its children at least holds a pipeline."""
        try:
            return any(maps_sklearn(child) for child in self._children())
        except FileNotFoundError:  # it has just ended
            return False

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return []


class Site:
    """Everything that a fault can reach."""

    def __init__(self, folder: Path, *, has_clocks: bool = False, has_limits: bool = False) -> None:
        self.told_dir = folder / "told"
        self.told_dir.mkdir()
        self.model_dir = save_troublesome(folder / "models", self.told_dir)
        self.trigger = folder / "armed"
        self.redis_port = free_port()
        self.redis: Any = redis.Redis(port=self.redis_port)  # untyped, where it would be of use
        self.proxy = Proxy(self.redis_port)
        self.ports = [free_port(), free_port()]
        self._clients = [Client(port) for port in self.ports]
        self.clocks = {name: clock.Clock(folder / f"clock-{name}") for name in ("broker", "worker-0", "gateway-0")}
        self._folder = folder
        self._has_clocks = has_clocks
        self._settings = {
            **SETTINGS,
            **(LIMITS if has_limits else {}),
            "redis_url": f"redis://127.0.0.1:{self.proxy.port}/0",
            "model_dir": self.model_dir,
            "chaos_trigger": self.trigger,
        }
        self._ended = threading.Event()
        self.broker = self._slot("broker", broker.command(self.redis_port, folder, fsync="always"))
        wait_for(self.broker_answers, "the broker")
        worker = [sys.executable, "-m", "tests.chaos.patched_worker"]
        gateway = [sys.executable, "-m", "api"]
        self.workers = [self._slot(f"worker-{number}", worker) for number in range(2)]
        self.gateways = [self._slot(f"gateway-{n}", gateway, api_port=port) for n, port in enumerate(self.ports)]
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")
        self._supervisor.start()

    @property
    def slots(self) -> list[Slot]:
        """All processes, in the order in which they were started."""
        return [self.broker, *self.workers, *self.gateways]

    def forget_told(self) -> None:
        """Forget which rows have told who predicts them."""
        for path in self.told_dir.iterdir():
            path.unlink()

    def wait_until_whole(self) -> None:
        """Wait until every worker has loaded its model and every gateway is ready."""
        wait_for(self.is_whole, f"a whole site; see {self._folder}")

    def is_whole(self) -> bool:
        """Whether everything is there again that may have been killed."""
        if not self.broker_answers() or not all(worker.has_loaded() for worker in self.workers):
            return False
        return all(client.is_ready() for client in self._clients)

    def broker_answers(self) -> bool:
        """Whether the broker has read its file and takes commands."""
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """End everything at once."""
        self._ended.set()
        self._supervisor.join()
        for slot in reversed(self.slots):
            if not slot.is_dead:
                slot.kill()
        for client in self._clients:
            client.client.close()
        self.proxy.stop()
        self.redis.close()

    def _slot(self, name: str, command: list[str], **settings: object) -> Slot:
        environment = clean_environment(**{**self._settings, **settings})
        if self._has_clocks and name in self.clocks:
            environment |= self.clocks[name].environment()
        return Slot(name, command, environment, self._folder)

    def _supervise(self) -> None:
        while not self._ended.wait(_SUPERVISION_SECONDS):
            for slot in self.slots:
                if slot.is_dead:
                    slot.start_again()


@contextmanager
def running_site(folder: Path, *, has_clocks: bool = False, has_limits: bool = False) -> Iterator[Site]:
    """A whole site, and at the end nothing of it."""
    site = Site(folder, has_clocks=has_clocks, has_limits=has_limits)
    try:
        site.wait_until_whole()
        yield site
    finally:
        site.stop()
