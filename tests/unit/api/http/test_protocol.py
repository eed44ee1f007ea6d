"""Writes that are held back until the event loop comes round."""

import asyncio
from typing import Any, cast

import pytest

from api.http.protocol import CoalescingTransport


class Socket:
    """Counts the writes that a kernel would see."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
async def socket() -> Socket:
    return Socket()


@pytest.fixture
async def transport(socket: Socket) -> CoalescingTransport:
    return CoalescingTransport(cast(Any, socket))


async def test_what_is_written_in_one_turn_is_one_write(transport: CoalescingTransport, socket: Socket) -> None:
    transport.write(b"head")
    transport.write(b"body")
    assert socket.writes == []
    await asyncio.sleep(0)
    assert socket.writes == [b"headbody"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert socket.writes == [b"headbody", b"next"]


async def test_closing_writes_what_was_held_first_and_once(transport: CoalescingTransport, socket: Socket) -> None:
    transport.write(b"last")
    transport.close()
    await asyncio.sleep(0)
    assert socket.writes == [b"last"]
    assert socket.is_closed


async def test_nothing_is_written_to_a_client_that_has_gone(transport: CoalescingTransport, socket: Socket) -> None:
    transport.write(b"late")
    socket.close()
    await asyncio.sleep(0)
    assert socket.writes == []
