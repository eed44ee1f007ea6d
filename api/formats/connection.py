"""A table process's end of its connection: frames, the body of an upload, and the rows of a download."""

import io
import socket
import zlib
from typing import Any, Final

import msgspec

from api.bulk.wire import DATA, FRAME_HEAD, JOB, MAX_FRAME_BYTES, REPLY, Job, Reply

_GZIP_LEVEL: Final = 1  # 100 MB/s; level 6 takes three times as long and saves a tenth
_GZIP_HEADER_FLAG: Final = 16  # added to the window bits: makes zlib write the header and checksum of gzip
_BUFFER_BYTES: Final = 2**18  # for small writes; about the size of a Unix socket's buffer


class Connection:
    """Sends and receives frames; every method raises `ConnectionError` once the gateway has closed the connection."""

    def __init__(self, gateway_socket: socket.socket) -> None:
        self._raw = gateway_socket

    def receive_job(self) -> Job:
        """Receive the job, which is in the first frame."""
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
        head = bytearray(FRAME_HEAD.size)
        view = memoryview(head)
        while view:
            view = view[self.receive_into(view) :]
        kind, n_bytes = FRAME_HEAD.unpack(head)
        return kind, n_bytes

    def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte of content; return the number of bytes."""
        if n_bytes := self._raw.recv_into(buffer):
            return n_bytes
        raise ConnectionError("the gateway closed the connection")

    def send_reply(self, reply: Reply) -> None:
        """Send a reply."""
        self._send(REPLY, memoryview(msgspec.msgpack.encode(reply)))

    def send_data(self, content: memoryview) -> None:
        """Send bytes in `DATA` frames; send no frame if there are no bytes."""
        for start in range(0, len(content), MAX_FRAME_BYTES):
            self._send(DATA, content[start : start + MAX_FRAME_BYTES])

    def send_end(self) -> None:
        """Send the empty `DATA` frame that ends the data."""
        self._send(DATA, memoryview(b""))

    def finish(self) -> None:
        """Close the sending half of the connection, and wait until the gateway closes the connection.

        Bytes that still arrive are read and dropped: closing a socket with unread bytes would discard the reply, too.
        """
        self._raw.shutdown(socket.SHUT_WR)
        rest = bytearray(_BUFFER_BYTES)
        while self._raw.recv_into(rest):
            pass

    def _send(self, kind: bytes, content: memoryview) -> None:
        self._raw.sendall(FRAME_HEAD.pack(kind, len(content)))
        self._raw.sendall(content)


class Body(io.RawIOBase):
    """The body of an upload; an `io.BufferedReader` around it reads exact sizes."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._left = 0  # unread bytes of the current frame
        self._has_ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return the number of bytes, 0 at the end of the body.

        Raises:
            ConnectionError: the gateway closed the connection before the end of the body.
        """
        if not self._left and not self._has_ended:
            kind, self._left = self._connection.receive_head()
            if kind != DATA:
                raise ConnectionError("the gateway sent a frame of another kind than data")
            self._has_ended = not self._left
        if self._has_ended:
            return 0
        n_bytes = self._connection.receive_into(memoryview(buffer).cast("B")[: self._left])
        self._left -= n_bytes
        return n_bytes


class Sink:
    """A writable file that sends its bytes to the gateway."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.n_bytes = 0
        self.closed = False  # read by pyarrow

    def write(self, content: Any) -> int:
        """Send the bytes of any buffer; collect small ones, and send them together.

        Raises:
            ConnectionError: the gateway has closed the connection.
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
        """Send the collected bytes."""
        self._connection.send_data(memoryview(self._buffer))
        self._buffer = bytearray()

    def end(self) -> None:
        """Send the rest, and the end of the data."""
        self.flush()
        self._connection.send_end()


class GzipSink:
    """A writable file that compresses its bytes and sends them to the gateway."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._compressor = zlib.compressobj(_GZIP_LEVEL, wbits=zlib.MAX_WBITS | _GZIP_HEADER_FLAG)
        self.closed = False  # read by pyarrow

    @property
    def n_bytes(self) -> int:
        """Compressed bytes that were sent."""
        return self._sink.n_bytes

    def write(self, content: Any) -> int:
        """Compress the bytes of any buffer, and send the output.

        Raises:
            ConnectionError: the gateway has closed the connection.
        """
        view = memoryview(content).cast("B")
        self._sink.write(self._compressor.compress(view))
        return len(view)

    def flush(self) -> None:
        """Do nothing: an early flush would reduce the compression."""

    def end(self) -> None:
        """Send the rest, and the end of the data."""
        self._sink.write(self._compressor.flush())
        self._sink.end()
