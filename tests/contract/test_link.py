"""The gateway's link to a real server: the greeting, and connections that are lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from api.link import Link, Script
from shared.local import broker
from tests.listener import Listener
from tests.stack import Part, clean_environment, free_port, listens, wait_for

ECHO = Script("return ARGV[1]")
LARGE = bytes(1024 * 1024)


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[tuple[Link, Listener]]:
    link, listener = Link(url, "channel"), Listener()
    keeping = asyncio.create_task(link.keep(listener))
    yield link, listener
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A server with a password: its port and its socket."""
    port, folder = free_port(), tmp_path_factory.mktemp("guarded")
    part = Part("broker", [*broker.command(port, folder), "--requirepass", "p@ss:word"], clean_environment(), folder)
    wait_for(lambda: listens(port), "the broker")
    yield port, folder / "broker.sock"
    part.stop()


@pytest.mark.parametrize("scheme", ["redis", "unix"])
async def test_password_and_database_of_the_url_are_used(guarded: tuple[int, Path], scheme: str) -> None:
    port, socket = guarded
    urls = {
        "redis": f"redis://:p%40ss%3Aword@127.0.0.1:{port}/3",
        "unix": f"unix://{socket}?db=3&password=p%40ss%3Aword",
    }
    client = redis.Redis(port=port, password="p@ss:word", db=3)
    async with linked(urls[scheme]) as (link, listener):
        assert await link.run(Script("redis.call('SET', KEYS[1], ARGV[1]) return 1"), [scheme], ["here"]) == 1
        assert client.get(scheme) == b"here"
        client.publish("channel", "hello")
        assert await asyncio.wait_for(listener.messages.get(), 5) == b"hello"
    client.close()


async def test_wrong_password_leaves_the_link_down(guarded: tuple[int, Path]) -> None:
    async with linked(f"redis://:wrong@127.0.0.1:{guarded[0]}/0") as (link, _):
        with pytest.raises(TimeoutError):
            await link.run(ECHO, [], [b"anything"])
        assert not link.is_up


async def test_commands_that_wait_for_room_survive_a_lost_connection(broker_port: int) -> None:
    client = redis.Redis(port=broker_port)
    async with linked(f"redis://127.0.0.1:{broker_port}/2") as (link, _):
        assert await link.run(ECHO, [], [b"first"]) == b"first"
        commands = [asyncio.create_task(link.run(ECHO, [], [LARGE])) for _ in range(30)]
        await asyncio.sleep(0)
        client.client_kill_filter(_type="pubsub")
        for answer in await asyncio.gather(*commands):
            assert answer == LARGE
    client.close()
