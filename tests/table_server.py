"""Starts a real table server and runs jobs on it."""

import select
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from api.bulk.wire import (
    DATA,
    FRAME_HEAD,
    JOB,
    LISTENING,
    MAX_FRAME_BYTES,
    REPLY,
    Job,
    JobRefused,
    JobStarted,
    Reply,
    TableSettings,
)
from tests.patience import patience
from tests.stack import ROOT, clean_environment


class TableConnection:
    """A connection with one job."""

    def __init__(self, path: Path, job: Job) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience())
        self.socket.connect(str(path))
        self.replies: list[Reply] = []
        self.data = bytearray()
        self.has_ended = False
        self._file = self.socket.makefile("rb")
        self._send(JOB, msgspec.msgpack.encode(job))

    def __enter__(self) -> "TableConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def start(self) -> int:
        """Wait until the job has started; return the id of its process."""
        self.receive()
        assert isinstance(self.replies[0], JobStarted)
        return self.replies[0].pid

    def send_body(self, parts: Iterable[bytes]) -> None:
        """Send a body to its end."""
        for part in parts:
            self.send_part(part)
        self._send(DATA, b"")

    def send_until_refused(self, part: bytes) -> JobRefused:
        """Send a part of a body repeatedly until it is refused; return the refusal."""
        while not isinstance(self.replies[-1], JobRefused):
            self._send(DATA, part)
            while select.select([self.socket], [], [], 0)[0] and not isinstance(self.replies[-1], JobRefused):
                self.receive()
        return self.replies[-1]

    def send_part(self, part: bytes) -> None:
        """Send a part of a body."""
        for start in range(0, len(part), MAX_FRAME_BYTES):
            self._send(DATA, part[start : start + MAX_FRAME_BYTES])

    def receive(self) -> bool:
        """Receive a frame; return whether there was one."""
        head = self._file.read(FRAME_HEAD.size)
        if len(head) < FRAME_HEAD.size:
            return False
        kind, n_bytes = FRAME_HEAD.unpack(head)
        content = self._file.read(n_bytes)
        if len(content) < n_bytes:  # the process was killed
            return False
        if kind == REPLY:
            self.replies.append(msgspec.msgpack.decode(content, type=Reply))
        else:
            assert kind == DATA
            assert not self.has_ended, "data after the last"
            self.has_ended = not content
            self.data += content
        return True

    def finish(self) -> Reply:
        """Receive everything until the process closes its half; return the last reply."""
        while self.receive():
            pass
        return self.replies[-1]

    def close_half(self) -> None:
        """Close the sending half, which ends the job."""
        self.socket.shutdown(socket.SHUT_WR)

    def _send(self, kind: bytes, content: bytes) -> None:
        self.socket.sendall(FRAME_HEAD.pack(kind, len(content)) + content)


class TableServer:
    """A table server, with its folder."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.objects = folder / "objects"
        self._path = folder / "tables.sock"
        encoded = msgspec.json.encode(TableSettings(str(self.objects), **settings)).decode()
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "api.formats", str(self._path), encoded],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=clean_environment(),
        )
        assert self.popen.stdout is not None
        assert self.popen.stdout.readline() == LISTENING

    def connect(self, job: Job) -> TableConnection:
        """Open a connection and send a job."""
        return TableConnection(self._path, job)

    def do(self, job: Job, body: Iterable[bytes] = ()) -> TableConnection:
        """Run a job to its end; return the closed connection with everything received."""
        with self.connect(job) as connection:
            connection.send_body(body)
            connection.finish()
        return connection

    def close(self) -> int:
        """End the server as if its parent had ended; return its exit code."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.close()
        self.popen.stdout.close()
        return self.popen.wait(patience())


@contextmanager
def running_table_server(folder: Path, **settings: Any) -> Iterator[TableServer]:
    """Run a table server during a `with` block."""
    server = TableServer(folder, **settings)
    try:
        yield server
    finally:
        server.close()
