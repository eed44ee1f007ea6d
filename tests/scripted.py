"""A server on a real socket that responds as a test's scripts specify, and cuts connections on request."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.patience import patience

PROBLEM = "application/problem+json"
JSON = "application/json"
_TLS = b"\x16\x03"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the connection is reset when it is closed


class Exchange:
    """One request on its own connection, with methods to respond to it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()
        self.line = ""
        self.headers: dict[str, str] = {}
        self.body = b""

    def read_head(self) -> "Exchange":
        self._refuse_tls()
        self.line, *lines = self._take_until(b"\r\n\r\n").split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return self

    def read_body(self) -> "Exchange":
        """Read the whole body, chunked or not."""
        if self.headers.get("transfer-encoding") == "chunked":
            parts = []
            while n_bytes := int(self._take_until(b"\r\n"), 16):
                parts.append(self._take(n_bytes))
                self._take_until(b"\r\n")
            self._take_until(b"\r\n")
            self.body = b"".join(parts)
        else:
            self.body = self._take(int(self.headers.get("content-length", 0)))
        return self

    def read_some(self, n_bytes: int) -> "Exchange":
        """Read the beginning of the body, as it is sent."""
        self.body = self._take(n_bytes)
        return self

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def head(self, status: int, **headers: str) -> None:
        """Send the head of a response; underscores in the names of headers stand for hyphens."""
        lines = [f"HTTP/1.1 {status} Scripted", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def respond(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole response."""
        self.head(status, **{"Content_Length": str(len(body)), **headers})
        self.send(body)

    def json(self, status: int, content: Any, **headers: str) -> None:
        self.respond(status, json.dumps(content).encode(), **{"Content_Type": JSON, **headers})

    def problem(self, status: int, code: str, detail: str = "It is so.", **headers: str) -> None:
        self.json(status, {"code": code, "detail": detail}, **{"Content_Type": PROBLEM, **headers})

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def cut(self) -> None:
        """Reset the connection."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._connection.close()

    def wait_until_gone(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while self._connection.recv(2**16):
                pass
        except OSError:
            pass

    def close(self) -> None:
        self._connection.close()

    def _refuse_tls(self) -> None:
        while len(self._received) < len(_TLS):
            self._receive()
        if self._received.startswith(_TLS):
            self.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            raise ConnectionError("the client speaks TLS")

    def _take_until(self, end: bytes) -> str:
        while end not in self._received:
            self._receive()
        taken = self._take(self._received.index(end))
        self._take(len(end))
        return taken.decode()

    def _take(self, n_bytes: int) -> bytes:
        while len(self._received) < n_bytes:
            self._receive()
        taken = bytes(self._received[:n_bytes])
        del self._received[:n_bytes]
        return taken

    def _receive(self) -> None:
        received = self._connection.recv(2**20)
        if not received:
            raise ConnectionError("the client closed the connection")
        self._received += received


Script = Callable[[Exchange], None]


def unheard(_: Exchange) -> None:
    """A script for a connection on which no request arrives."""
    raise AssertionError("a request has arrived")


class ScriptedServer:
    """Runs one script for each connection, in order."""

    def __init__(self, scripts: tuple[Script, ...], tls: ssl.SSLContext | None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.exchanges: list[Exchange] = []
        self.errors: list[BaseException] = []
        self._scripts = scripts
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the listener once all scripts have been carried out."""
        self._thread.join(patience())
        self._listener.close()

    def interrupt(self) -> None:
        """Stop accepting connections."""
        with suppress(OSError):  # it is closed
            self._listener.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        self._listener.settimeout(patience())
        try:
            for script in self._scripts:
                connection, _ = self._listener.accept()
                connection.settimeout(patience())
                with connection, suppress(BrokenPipeError, ConnectionResetError):  # the client may leave at any time
                    self._serve(connection, script)
        except BaseException as error:
            self.errors.append(error)
        finally:
            self._listener.close()

    def _serve(self, connection: socket.socket, script: Script) -> None:
        self.exchanges.append(exchange := Exchange(connection))
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self.exchanges[-1] = exchange = Exchange(connection)
            exchange.read_head()
        except (ConnectionError, ssl.SSLError):
            if script is not unheard:
                raise
        else:
            script(exchange)
        finally:
            connection.close()


@contextmanager
def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a server that expects as many connections as there are scripts, and refuses later ones.

    Each script gets an exchange whose head has been read, and its connection is closed afterwards.
    """
    server = ScriptedServer(scripts, tls)
    server.start()
    try:
        yield server
    except BaseException:
        server.interrupt()
        raise
    finally:
        server.stop()
    assert not server.errors, server.errors
    assert len(server.exchanges) == len(scripts)
