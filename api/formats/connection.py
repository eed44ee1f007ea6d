"""A job process's end of its connection: frames, the body of an upload, and what is sent back."""

import io
import socket
import zlib
from typing import Any, Final

import msgspec

from api.bulk.wire import DATA, FRAME, JOB, MAX_FRAME_BYTES, REPLY, Job, Reply

_GZIP_LEVEL: Final = 1  # 100 MB/s; level 6 takes three times as long for a tenth less
_GZIP_HEADER: Final = 16  # added to the size of the window, it asks zlib for gzip's header and checksum
_BUFFER_BYTES: Final = 2**18  # of small writes; also a Unix socket's own buffer, about


class Connection:
    """Frames to and from the gateway; every method raises `ConnectionError` once that has gone."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw

    def receive_job(self) -> Job:
        """Receive the job, which comes first."""
        kind, n_bytes = self.receive_head()
        if kind != JOB:
            raise ConnectionError("the gateway sent no job")
        content = bytearray(n_bytes)
        view = memoryview(content)
        while view:
            view = view[self.receive_into(view) :]
        job: Job = msgspec.msgpack.decode(content, type=Job)
        return job

    def receive_head(self) -> tuple[bytes, int]:
        """Receive the head of a frame: its kind, and the length of its content."""
        head = bytearray(FRAME.size)
        view = memoryview(head)
        while view:
            view = view[self.receive_into(view) :]
        kind, n_bytes = FRAME.unpack(head)
        return kind, n_bytes

    def receive_into(self, buffer: memoryview) -> int:
        """Receive some content, at least a byte."""
        if n_bytes := self._raw.recv_into(buffer):
            return n_bytes
        raise ConnectionError("the gateway closed the connection")

    def reply(self, reply: Reply) -> None:
        """Send a reply."""
        self._send(REPLY, memoryview(msgspec.msgpack.encode(reply)))

    def send_data(self, content: memoryview) -> None:
        """Send bytes in as many frames as they need; none if there are none."""
        for start in range(0, len(content), MAX_FRAME_BYTES):
            self._send(DATA, content[start : start + MAX_FRAME_BYTES])

    def send_end(self) -> None:
        """Send the empty frame that follows all data."""
        self._send(DATA, memoryview(b""))

    def finish(self) -> None:
        """Say that nothing more comes, and wait until the gateway closes the connection.

        What it still sends is read: a socket that is closed with unread content loses what was sent, too.
        """
        self._raw.shutdown(socket.SHUT_WR)
        rest = bytearray(_BUFFER_BYTES)
        while self._raw.recv_into(rest):
            pass

    def _send(self, kind: bytes, content: memoryview) -> None:
        self._raw.sendall(FRAME.pack(kind, len(content)))
        self._raw.sendall(content)


class Body(io.RawIOBase):
    """The body of an upload; wrap it into `io.BufferedReader` for reads of an exact size."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._left = 0  # of the current frame
        self._has_ended = False

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes: 0 at the end, which is an empty frame.

        Raises:
            ConnectionError: the gateway has gone before the end.
        """
        if not self._left and not self._has_ended:
            kind, self._left = self._connection.receive_head()
            if kind != DATA:
                raise ConnectionError("the gateway sent something else than data")
            self._has_ended = not self._left
        if self._has_ended:
            return 0
        n_bytes = self._connection.receive_into(memoryview(buffer).cast("B")[: self._left])
        self._left -= n_bytes
        return n_bytes


class Sink:
    """A file of which every byte is sent to the gateway."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.n_bytes = 0
        self.closed = False  # pyarrow asks for it

    def write(self, content: Any) -> int:
        """Send any buffer; small ones are sent together.

        Raises:
            ConnectionError: the gateway has gone.
        """
        view = memoryview(content).cast("B")
        self.n_bytes += len(view)
        if len(self._buffer) + len(view) < _BUFFER_BYTES:
            self._buffer += view
            return len(view)
        self.flush()
        self._connection.send_data(view)
        return len(view)

    def flush(self) -> None:
        """Send what waits for more."""
        self._connection.send_data(memoryview(self._buffer))
        self._buffer = bytearray()

    def end(self) -> None:
        """Send the rest, and that it was the last."""
        self.flush()
        self._connection.send_end()


class GzipSink:
    """A file of which every byte is sent to the gateway, compressed."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._compressor = zlib.compressobj(_GZIP_LEVEL, wbits=zlib.MAX_WBITS | _GZIP_HEADER)
        self.closed = False  # pyarrow asks for it

    @property
    def n_bytes(self) -> int:
        """Bytes that were sent."""
        return self._sink.n_bytes

    def write(self, content: Any) -> int:
        """Compress any buffer, and send what has come out of it.

        Raises:
            ConnectionError: the gateway has gone.
        """
        view = memoryview(content).cast("B")
        self._sink.write(self._compressor.compress(view))
        return len(view)

    def flush(self) -> None:
        """Do nothing: what is flushed early compresses worse."""

    def end(self) -> None:
        """Send the rest, and that it was the last."""
        self._sink.write(self._compressor.flush())
        self._sink.end()
