"""The gateway's and the worker's halves of the store, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis

from api.link import Link
from api.store import Store
from shared.card import ModelCard, read_card
from tests.listener import Listener
from tests.submissions import connect
from worker.store import Store as WorkerStore


@pytest.fixture
def server(broker_port: int) -> Iterator[redis.Redis]:
    client = redis.Redis(port=broker_port, db=2)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def url(server: redis.Redis, broker_port: int) -> str:
    del server  # only to have it emptied first
    return f"redis://127.0.0.1:{broker_port}/2"


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest_asyncio.fixture
async def store(url: str, listener: Listener) -> AsyncIterator[Store]:
    link = Link(url, "reply")
    keeping = asyncio.create_task(link.keep(listener))
    store = Store.connect(url, link, max_backlog_rows=100, result_ttl_seconds=600, answered_ttl_seconds=60)
    yield store
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await store.client.aclose()


@pytest.fixture
def worker(url: str) -> Iterator[WorkerStore]:
    worker = connect(url, "worker")
    yield worker
    worker._scripts._connection.disconnect()


@pytest.fixture(scope="session")
def iris_card(iris_dir: Path) -> ModelCard:
    return read_card(iris_dir)
