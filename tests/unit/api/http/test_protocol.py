"""The transport joins the writes of one event loop iteration."""

import asyncio
from typing import Any, cast

import pytest

from api.http.protocol import CoalescingTransport


class Socket:
    """A fake transport that records each write, which would be one system call."""

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


async def test_writes_of_one_loop_iteration_are_joined(transport: CoalescingTransport, socket: Socket) -> None:
    transport.write(b"head")
    transport.write(b"body")
    assert socket.writes == []
    await asyncio.sleep(0)
    assert socket.writes == [b"headbody"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert socket.writes == [b"headbody", b"next"]


async def test_close_sends_the_buffered_data_once_and_first(transport: CoalescingTransport, socket: Socket) -> None:
    transport.write(b"last")
    transport.close()
    await asyncio.sleep(0)
    assert socket.writes == [b"last"]
    assert socket.is_closed


async def test_buffered_data_is_dropped_if_the_client_has_disconnected(
    transport: CoalescingTransport, socket: Socket
) -> None:
    transport.write(b"late")
    socket.close()
    await asyncio.sleep(0)
    assert socket.writes == []
