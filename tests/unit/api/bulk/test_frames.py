"""Frames between the gateway and the process of a job, over a real Unix socket, on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import uvloop

from api.bulk.frames import FrameConnection, JobLost
from api.bulk.wire import DATA, FRAME_HEAD, MAX_FRAME_BYTES, REPLY
from tests.patience import patience

MEGABYTE = 2**20


class Ends(NamedTuple):
    """Both ends of a connection: the gateway's, and the process's."""

    connection: FrameConnection
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Body = Callable[[Ends], Awaitable[None]]


@asynccontextmanager
async def connected(path: str) -> AsyncIterator[Ends]:
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put((reader, writer))

    server = await asyncio.start_unix_server(accept, path)
    connection = await FrameConnection.open(path)
    reader, writer = await accepted.get()
    try:
        yield Ends(connection, reader, writer)
    finally:
        connection.close()
        writer.transport.abort()
        server.close()
        await server.wait_closed()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Run the body of a test with both ends of a connection."""

    async def within_patience(body: Body) -> None:
        async with asyncio.timeout(patience()), connected(str(tmp_path / "socket")) as ends:
            await body(ends)

    def start(body: Body) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(within_patience(body))

    return start


def test_frames_arrive_whole_and_in_order_however_they_are_cut(run: Callable[[Body], None]) -> None:
    contents = [b"reply", b"", b"x" * MEGABYTE, b"", b"y"]
    sent = b"".join(FRAME_HEAD.pack(REPLY if content else DATA, len(content)) + content for content in contents)

    async def body(ends: Ends) -> None:
        async def send() -> None:
            for start, end in ((0, 3), (3, 9), (9, 100), (100, len(sent))):
                ends.writer.write(sent[start:end])
                await ends.writer.drain()

        sending = asyncio.create_task(send())
        received = [await ends.connection.receive() for _ in contents]
        assert received == [(REPLY if content else DATA, bytearray(content)) for content in contents]
        await sending
        assert ends.connection.n_received == len(contents)

    run(body)


def test_what_nobody_takes_is_not_read(run: Callable[[Body], None]) -> None:
    async def body(ends: Ends) -> None:
        ends.writer.writelines([FRAME_HEAD.pack(DATA, MEGABYTE) + bytes(MEGABYTE)] * 8)
        for n_taken in range(1, 9):
            assert await ends.connection.receive() == (DATA, bytearray(MEGABYTE))
            for _ in range(50):  # what can be read meanwhile is read
                await ends.connection.send(DATA, b"")
                await ends.reader.readexactly(FRAME_HEAD.size)
            assert ends.connection.n_received <= n_taken + 1

    run(body)


def test_what_has_arrived_is_received_after_the_other_end_has_closed(run: Callable[[Body], None]) -> None:
    async def body(ends: Ends) -> None:
        ends.writer.write(FRAME_HEAD.pack(REPLY, 2) + b"ok" + FRAME_HEAD.pack(DATA, 9) + b"half")
        ends.writer.close()
        assert await ends.connection.receive() == (REPLY, bytearray(b"ok"))
        with pytest.raises(JobLost):
            await ends.connection.receive()

    run(body)


def test_nothing_can_be_sent_to_an_end_that_has_gone(run: Callable[[Body], None]) -> None:
    async def body(ends: Ends) -> None:
        ends.writer.transport.abort()
        for _ in range(2):  # the first may find room still
            with suppress(JobLost):
                await ends.connection.send(DATA, bytes(MEGABYTE))
        with pytest.raises(JobLost):
            await ends.connection.send(DATA, bytes(MEGABYTE))

    run(body)


def test_sending_waits_for_the_other_end(run: Callable[[Body], None]) -> None:
    async def body(ends: Ends) -> None:
        sending = asyncio.create_task(ends.connection.send(DATA, bytes(8 * MEGABYTE)))
        assert await ends.reader.readexactly(FRAME_HEAD.size) == FRAME_HEAD.pack(DATA, 8 * MEGABYTE)
        assert not sending.done()
        assert await ends.reader.readexactly(8 * MEGABYTE) == bytes(8 * MEGABYTE)
        await sending

    run(body)


def test_empty_frame_is_sent_before_the_end(run: Callable[[Body], None]) -> None:
    async def body(ends: Ends) -> None:
        await ends.connection.send(DATA, b"")
        finishing = asyncio.create_task(ends.connection.finish())
        assert await ends.reader.read() == FRAME_HEAD.pack(DATA, 0)
        ends.writer.write_eof()
        await finishing

    run(body)


def test_finishing_discards_what_arrives_until_the_end(run: Callable[[Body], None]) -> None:
    async def body(ends: Ends) -> None:
        ends.writer.writelines([FRAME_HEAD.pack(DATA, MEGABYTE) + bytes(MEGABYTE)] * 8)
        finishing = asyncio.create_task(ends.connection.finish())
        assert await ends.reader.read() == b""
        await ends.writer.drain()
        assert not finishing.done()
        ends.writer.write_eof()
        await finishing

    run(body)


@pytest.mark.parametrize("head", [FRAME_HEAD.pack(DATA, MAX_FRAME_BYTES + 1), FRAME_HEAD.pack(REPLY, 2**32 - 1)])
def test_connection_with_a_frame_that_is_too_long_is_lost(run: Callable[[Body], None], head: bytes) -> None:
    async def body(ends: Ends) -> None:
        ends.writer.write(head)
        with pytest.raises(JobLost):
            await ends.connection.receive()
        assert await ends.reader.read() == b""

    run(body)
