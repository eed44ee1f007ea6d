"""The site under test: a broker, a worker, two gateways that are killed and replaced, and the proxy before them."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from shared.ids import SPANNING, STORED, BatchId, PredictionId
from shared.store.records import unpack_members
from shared.store.schema import Field, Key
from tests.chaos.clients.proxy import FaultProxy
from tests.models import save_troublesome
from tests.stack import Gateway, Stack, wait_for

_N_GATEWAYS: Final = 2
_DAY_SECONDS: Final = 86_400  # longer than a run: at its end every prediction is fetched again

SETTINGS: Final[dict[str, Any]] = {
    "max_wait_seconds": 0.3,  # so that clients must wait for some predictions after they were accepted
    "wait_seconds": 0.3,
    "result_ttl_seconds": _DAY_SECONDS,
    "answered_ttl_seconds": _DAY_SECONDS,
}


class ClientSite:
    """A complete Sepal behind a proxy."""

    def __init__(self, folder: Path) -> None:
        """Make the model and the proxy.

        Args:
            folder: for all files.
        """
        pids = folder / "pids"
        pids.mkdir()
        self.model_dir = save_troublesome(folder / "models", pids)
        self.stack = Stack(folder, self.model_dir, **SETTINGS)
        self.proxy = FaultProxy(self._kill)
        self._lock = threading.Lock()
        self._gateways: dict[int, Gateway] = {}
        self._replacers: list[threading.Thread] = []
        self._n_submissions = 0

    def start(self) -> None:
        """Start all processes, and wait until they are ready."""
        self.stack.start_broker()
        self.stack.start_worker()
        for _ in range(_N_GATEWAYS):
            self._replace()
        self.wait_until_whole()

    @property
    def url(self) -> str:
        """The URL of the proxy."""
        return f"http://127.0.0.1:{self.proxy.port}"

    def new_number(self) -> int:
        """Return the number of a new submission."""
        self._n_submissions += 1
        return self._n_submissions

    def gateway(self) -> httpx.Client:
        """Return a client of a living gateway, without the proxy."""

        def first() -> Gateway | None:
            with self._lock:
                return next(iter(self._gateways.values()), None)

        return wait_for(first, "a gateway").client

    def wait_until_whole(self) -> None:
        """Wait until killed gateways are replaced."""
        for thread in self._replacers:
            thread.join()
        self._replacers.clear()

    def end_connections(self) -> None:
        """Close connections that clients have left open, and wait until no request passes through the proxy."""
        self.proxy.cut()
        wait_for(lambda: self.proxy.n_links() == 0, "the end of all connections")

    def predictions(self) -> list[PredictionId]:
        """Return every prediction with a record in the store."""
        found: list[PredictionId] = []
        keys: Any = self.stack.redis.scan_iter(f"{Key.BATCH}*", count=1000)
        for key in keys:
            batch_id = BatchId(key.decode().removeprefix(Key.BATCH))
            if "." not in batch_id:
                found += self._predictions_of(batch_id)
        return found

    def stop(self) -> None:
        """Stop all processes, even if an error occurs."""
        with ExitStack() as ending:
            ending.callback(self.stack.stop)
            ending.callback(self.proxy.stop)
            self.wait_until_whole()

    def _predictions_of(self, batch_id: BatchId) -> list[PredictionId]:
        fields: Any = self.stack.redis.hmget(Key.BATCH + batch_id, [Field.MEMBERS, Field.SOURCE, Field.CHILDREN])
        members, source, children = fields
        secrets = [member.secret for member in unpack_members(members or b"")]
        if source is not None or children is not None:
            index = SPANNING if source is None else STORED
            return [PredictionId(batch_id, index, secret) for secret in secrets]
        return [PredictionId(batch_id, index, secret) for index, secret in enumerate(secrets)]

    def _kill(self, port: int | None) -> None:
        """Kill a gateway, or all, and replace it; runs in the proxy's thread."""
        with self._lock:
            killed = [each for each in (self._gateways if port is None else [port]) if each in self._gateways]
            for each in killed:
                self._gateways.pop(each).part.popen.kill()
                self.proxy.remove(each)
        for _ in killed:
            self._replace()

    def _replace(self) -> None:
        thread = threading.Thread(target=self._start_gateway, name="replacer")
        self._replacers.append(thread)
        thread.start()

    def _start_gateway(self) -> None:
        gateway = self.stack.start_gateway().wait_until_ready()
        with self._lock:
            self._gateways[gateway.port] = gateway
        self.proxy.add(gateway.port)


@contextmanager
def running_client_site(folder: Path) -> Iterator[ClientSite]:
    """Start a site, and stop it at the end."""
    site = ClientSite(folder)
    try:
        site.start()
        yield site
    finally:
        site.stop()
