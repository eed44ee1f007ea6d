"""The gateway's end of a connection to a table process: frames (`api.bulk.wire`), whose content is not copied."""

import asyncio
from contextlib import suppress
from typing import Final, cast

from api.bulk.wire import DATA, FRAME_HEAD, MAX_FRAME_BYTES

_MAX_REPLY_BYTES: Final = 2**24


class JobLost(Exception):
    """The table process ended before its last reply, or could not be started."""


class FrameConnection(asyncio.BufferedProtocol):
    """Sends frames, and receives each frame into a separate buffer."""

    def __init__(self) -> None:
        self._head = bytearray(FRAME_HEAD.size)
        self._content: bytearray | None = None
        """The buffer for the content of the frame whose head has arrived."""
        self._kind = b""
        self._n_filled = 0
        """Bytes received of the head or, after it, of the content."""
        self._frame: tuple[bytes, bytearray] | None = None
        """The frame that waits for `receive`; reading is paused meanwhile."""
        self._waiter: asyncio.Future[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._ended = asyncio.Event()
        self._is_closing = False
        self.n_received = 0
        """Frames received."""

    @classmethod
    async def open(cls, path: str) -> "FrameConnection":
        """Connect to a Unix socket.

        Raises:
            OSError: no process listens on the socket.
        """
        _, connection = await asyncio.get_running_loop().create_unix_connection(cls, path)
        return connection

    async def send(self, kind: bytes, content: bytes | memoryview) -> None:
        """Send a frame; return when the transport's write buffer has room again.

        Raises:
            JobLost: the connection is closed; a frame that has arrived can still be received.
        """
        if self._transport.is_closing():
            raise JobLost
        head = FRAME_HEAD.pack(kind, len(content))
        # No empty buffer: asyncio's transports, from Python 3.12 on, would try to send it forever.
        self._transport.writelines([head, content] if content else [head])
        await self._may_write.wait()

    async def receive(self) -> tuple[bytes, bytearray]:
        """Receive the kind and the content of a frame.

        Raises:
            JobLost: the process has closed the connection, and no frame is left.
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
        """Close the sending half of the connection, and wait until the process closes the other half."""
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
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Wake the tasks that wait to send or to receive."""
        self._may_write.set()
        self.eof_received()

    def eof_received(self) -> bool:
        """End receiving; return True to keep the connection open for sending."""
        self._ended.set()
        self._wake_waiting_tasks()
        return True

    def pause_writing(self) -> None:
        """Pause `send`: the write buffer is full."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Resume `send`."""
        self._may_write.set()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return the unfilled rest of the buffer for the head or the content."""
        return memoryview(self._head if self._content is None else self._content)[self._n_filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Process the bytes that were written into the buffer."""
        self._n_filled += nbytes
        if self._content is None and self._n_filled == FRAME_HEAD.size:
            self._kind, n_bytes = FRAME_HEAD.unpack(self._head)
            if n_bytes > (MAX_FRAME_BYTES if self._kind == DATA else _MAX_REPLY_BYTES):
                self._transport.abort()  # too long for a frame: the process may be compromised
                return
            self._content, self._n_filled = bytearray(n_bytes), 0
        if self._content is not None and self._n_filled == len(self._content):
            if not self._is_closing:
                self._frame = self._kind, self._content
                self._transport.pause_reading()
                self._wake_waiting_tasks()
            self.n_received += 1
            self._content, self._n_filled = None, 0

    def _wake_waiting_tasks(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
