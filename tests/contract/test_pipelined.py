"""The gateway's pipelined connection to a real server: the handshake, and lost connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from local import broker
from shared.errors import BrokerUnavailable
from shared.store.pipelined import TIMEOUT_SECONDS, PipelinedTransport
from shared.store.scripts import Script
from tests.listener import Listener
from tests.patience import patience
from tests.stack import Part, clean_environment, free_port, listens, wait_for

ECHO = Script("return ARGV[1]")
LARGE = bytes(1024 * 1024)


@asynccontextmanager
async def connected(url: str, seconds: float) -> AsyncIterator[tuple[PipelinedTransport, Listener]]:
    transport, listener = PipelinedTransport(url, "channel", seconds), Listener()
    keeping = asyncio.create_task(transport.keep_connected(listener))
    try:
        yield transport, listener
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A server with a password: its port and its socket."""
    port, folder = free_port(), tmp_path_factory.mktemp("guarded")
    part = Part("broker", [*broker.command(port, folder), "--requirepass", "p@ss:word"], clean_environment(), folder)
    try:
        wait_for(lambda: listens(port), "the broker")
        yield port, folder / "broker.sock"
    finally:
        part.stop()


@pytest.mark.parametrize("scheme", ["redis", "unix"])
async def test_password_and_database_of_the_url_are_used(guarded: tuple[int, Path], scheme: str) -> None:
    port, socket = guarded
    urls = {
        "redis": f"redis://:p%40ss%3Aword@127.0.0.1:{port}/3",
        "unix": f"unix://{socket}?db=3&password=p%40ss%3Aword",
    }
    with redis.Redis(port=port, password="p@ss:word", db=3) as client:
        async with connected(urls[scheme], patience()) as (transport, listener):
            assert await transport.run(Script("redis.call('SET', ARGV[1], 'here') return 1"), [scheme]) == 1
            assert client.get(scheme) == b"here"
            client.publish("channel", "hello")
            assert await asyncio.wait_for(listener.messages.get(), patience()) == b"hello"


async def test_wrong_password_leaves_the_transport_down(guarded: tuple[int, Path]) -> None:
    async with connected(f"redis://:wrong@127.0.0.1:{guarded[0]}/0", TIMEOUT_SECONDS) as (transport, _):
        with pytest.raises(BrokerUnavailable):
            await transport.run(ECHO, [b"anything"])
        assert not transport.is_connected


async def test_commands_that_wait_to_be_sent_survive_a_lost_connection(broker_port: int) -> None:
    url = f"redis://127.0.0.1:{broker_port}/2"
    with redis.Redis(port=broker_port) as client:
        async with connected(url, patience()) as (transport, _):
            assert await transport.run(ECHO, [b"first"]) == b"first"
            commands = [asyncio.create_task(transport.run(ECHO, [LARGE])) for _ in range(30)]
            await asyncio.sleep(0)
            client.client_kill_filter(_type="pubsub")
            for reply in await asyncio.gather(*commands):
                assert reply == LARGE
