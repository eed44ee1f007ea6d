"""A client that costs little: one open connection, whole requests in, whole answers out."""

import socket
import time
from typing import Final, NamedTuple, Self

from benchmarks.serving.errors import SystemFailed

_TIMEOUT_SECONDS: Final = 60


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes


def request(method: str, path: str, body: str = "", prefer: str = "") -> bytes:
    """Write a request."""
    headers = [f"{method} {path} HTTP/1.1", "Host: sepal"]
    if prefer:
        headers.append(f"Prefer: {prefer}")
    if body:
        headers += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return ("\r\n".join([*headers, "", ""]) + body).encode()


class Caller:
    """A context in which one connection is open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, raw: bytes) -> None:
        """Ask, without waiting for the answer."""
        self._socket.sendall(raw)

    def receive(self, status: int) -> Reply:
        """Read the answer to the oldest request that has none yet.

        Raises:
            SystemFailed: the connection was closed, or the answer has another status.
        """
        line = self._file.readline()
        if not line:
            raise SystemFailed("the gateway closed a connection")
        headers = {}
        while field := self._file.readline().strip():
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        reply = Reply(int(line.split()[1]), headers, self._file.read(int(headers.get("content-length", 0))))
        if reply.status != status:
            raise SystemFailed(f"{reply.status} instead of {status}: {reply.body[:200]!r}")
        return reply

    def timed(self, raw: bytes, status: int) -> tuple[Reply, float]:
        """Ask and wait; returns the milliseconds, too.

        Raises:
            SystemFailed: as `receive`.
        """
        began = time.perf_counter()
        self.send(raw)
        reply = self.receive(status)
        return reply, (time.perf_counter() - began) * 1000
