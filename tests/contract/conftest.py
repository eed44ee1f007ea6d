"""The gateway's and the worker's parts of the store, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio
import redis

from shared.card import ModelCard, read_card
from shared.names import Queue
from shared.store.attempts import Attempts
from shared.store.bulk import BulkStore
from shared.store.clock import StoreClock
from shared.store.pipelined import PipelinedTransport
from shared.store.pooled import PooledTransport
from shared.store.recovery import Recovery
from shared.store.scripts import Script
from shared.store.workers import WorkerRegistry
from tests.listener import Listener
from tests.patience import patience
from tests.stored import MAX_BYTES, TEMPLATE
from tests.submissions import GatewayStore, Messages, connect, patient_transport

Connect = Callable[[str], Attempts]
Announce = Callable[..., None]


@pytest.fixture
def server(broker_port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=broker_port, db=2) as client:
        client.flushdb()
        yield client


@pytest.fixture
def url(server: redis.Redis, broker_port: int) -> str:
    del server  # used for its flush only
    return f"redis://127.0.0.1:{broker_port}/2"


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest_asyncio.fixture
async def store(url: str, listener: Listener) -> AsyncIterator[GatewayStore]:
    pipelined, pooled = PipelinedTransport(url, "reply", patience()), PooledTransport(url, patience())
    keeping = asyncio.create_task(pipelined.keep_connected(listener))
    await pipelined.run(Script("return 1"), [])  # it has subscribed
    yield GatewayStore(pipelined, pooled)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await pooled.close()


@pytest.fixture
def connect_worker(url: str) -> Iterator[Connect]:
    """Connects a pool process of a worker, by the worker's name."""
    with ExitStack() as stack:

        def connect_one(name: str) -> Attempts:
            attempts, transport = connect(url, name)
            stack.callback(transport.close)
            return attempts

        yield connect_one


@pytest.fixture
def bulk(store: GatewayStore) -> BulkStore:
    return BulkStore(store.pooled, StoreClock(), max_bytes=MAX_BYTES, result_ttl_seconds=600, message_template=TEMPLATE)


@pytest.fixture
def recovery(store: GatewayStore) -> Recovery:
    return Recovery(store.pooled, Messages(), max_attempts=3, result_ttl_seconds=600, dead_letter_ttl_seconds=600)


@pytest.fixture
def announce(url: str, iris_card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> Iterator[Announce]:
    """Announces a worker for an hour: its name, its pool processes, its queues."""
    for module in ("workers", "recovery"):
        monkeypatch.setattr(f"shared.store.{module}.ANNOUNCEMENT_SECONDS", 3600)
    transport = patient_transport(url)

    def announce(worker: str, pool_processes: int, queues: tuple[Queue, ...] = tuple(Queue)) -> None:
        WorkerRegistry(transport, worker, iris_card, 3, queues).announce(pool_processes)

    yield announce
    transport.close()


@pytest.fixture
def worker(connect_worker: Connect) -> Attempts:
    return connect_worker("worker")


@pytest.fixture(scope="session")
def iris_card(iris_dir: Path) -> ModelCard:
    return read_card(iris_dir)
