"""A minimal HTTP client on one connection, so that the client adds little to the measured times."""

import socket
import time
from typing import Final, NamedTuple, Self

from benchmarks.serving.errors import SystemFailed

_TIMEOUT_SECONDS: Final = 60


class Response(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    """The keys are in lower case."""
    body: bytes


def encode_request(method: str, path: str, body: str = "", prefer: str = "") -> bytes:
    """Encode a request."""
    headers = [f"{method} {path} HTTP/1.1", "Host: sepal"]
    if prefer:
        headers.append(f"Prefer: {prefer}")
    if body:
        headers += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return ("\r\n".join([*headers, "", ""]) + body).encode()


class Client:
    """A context manager for one open connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, encoded_request: bytes) -> None:
        """Send a request without waiting for its response."""
        self._socket.sendall(encoded_request)

    def receive(self, expected_status: int) -> Response:
        """Read the next response.

        Raises:
            SystemFailed: the gateway closed the connection, or the response has another status.
        """
        line = self._file.readline()
        if not line:
            raise SystemFailed("the gateway closed a connection")
        headers = {}
        while field := self._file.readline().strip():
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        response = Response(int(line.split()[1]), headers, self._file.read(int(headers.get("content-length", 0))))
        if response.status != expected_status:
            raise SystemFailed(f"{response.status} instead of {expected_status}: {response.body[:200]!r}")
        return response

    def time_request(self, encoded_request: bytes, expected_status: int) -> tuple[Response, float]:
        """Send a request, and return its response and the milliseconds that it took.

        Raises:
            SystemFailed: as for `receive`.
        """
        began = time.perf_counter()
        self.send(encoded_request)
        response = self.receive(expected_status)
        return response, (time.perf_counter() - began) * 1000
