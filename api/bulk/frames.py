"""The gateway's end of a connection to a job's process: frames (`api.bulk.wire`), without copies of their content."""

import asyncio
from contextlib import suppress
from typing import Final, cast

from api.bulk.wire import DATA, FRAME, MAX_FRAME_BYTES

_MAX_REPLY_BYTES: Final = 2**24


class JobLost(Exception):
    """The process of a job has ended without its last reply, or could not be started."""


class FrameConnection(asyncio.BufferedProtocol):
    """Sends frames, and receives each into memory of its own."""

    def __init__(self) -> None:
        self._head = bytearray(FRAME.size)
        self._content: bytearray | None = None
        """Of the frame whose head has arrived."""
        self._kind = b""
        self._n_filled = 0
        """Bytes that have arrived of the head, or of the content."""
        self._frame: tuple[bytes, bytearray] | None = None
        """The one that nobody has taken; nothing is read meanwhile."""
        self._waiter: asyncio.Future[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._ended = asyncio.Event()
        self._is_closing = False
        self.n_received = 0
        """Frames that have arrived."""

    @classmethod
    async def open(cls, path: str) -> "FrameConnection":
        """Connect to a Unix socket.

        Raises:
            OSError: nobody listens.
        """
        _, connection = await asyncio.get_running_loop().create_unix_connection(cls, path)
        return connection

    async def send(self, kind: bytes, content: bytes | memoryview) -> None:
        """Send a frame; returns when most of it was taken.

        Raises:
            JobLost: the process takes none; what has arrived can still be received.
        """
        if self._transport.is_closing():
            raise JobLost
        head = FRAME.pack(kind, len(content))
        # Nothing empty: asyncio's own transports, from Python 3.12 on, would try to send it for ever.
        self._transport.writelines([head, content] if content else [head])
        await self._may_write.wait()

    async def receive(self) -> tuple[bytes, bytearray]:
        """Receive the kind and the content of a frame.

        Raises:
            JobLost: there are no more.
        """
        while self._frame is None:
            if self._ended.is_set():
                raise JobLost
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frame, self._frame = self._frame, None
        if not self._transport.is_closing():
            self._transport.resume_reading()
        return frame

    async def finish(self) -> None:
        """Say that nothing more is sent, and wait until the process has ended the connection, too."""
        self._is_closing = True
        if not self._transport.is_closing():
            with suppress(OSError):
                self._transport.write_eof()
            self._transport.resume_reading()
        await self._ended.wait()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Wake whoever waits."""
        self._may_write.set()
        self.eof_received()

    def eof_received(self) -> bool:
        """Return that the connection stays open: the process may still read."""
        self._ended.set()
        self._wake()
        return True

    def pause_writing(self) -> None:
        """The process does not read."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The process reads again."""
        self._may_write.set()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return the rest of the memory for a head, or for the content of the frame."""
        return memoryview(self._head if self._content is None else self._content)[self._n_filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has arrived."""
        self._n_filled += nbytes
        if self._content is None and self._n_filled == FRAME.size:
            self._kind, n_bytes = FRAME.unpack(self._head)
            if n_bytes > (MAX_FRAME_BYTES if self._kind == DATA else _MAX_REPLY_BYTES):
                self._transport.abort()  # strangers' bytes have got at the process
                return
            self._content, self._n_filled = bytearray(n_bytes), 0
        if self._content is not None and self._n_filled == len(self._content):
            if not self._is_closing:
                self._frame = self._kind, self._content
                self._transport.pause_reading()
                self._wake()
            self.n_received += 1
            self._content, self._n_filled = None, 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
