"""A TCP proxy that can delay data, close connections, or keep them open and discard their data.

It runs on a separate thread; its methods may be called from any other thread.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_CHUNK_BYTES: Final = 65_536


class _Connection:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, discards: bool) -> None:
        self.writers = client, server
        self.discards = discards
        """Whether it discards all data in both directions, while it stays open."""

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """Forwards connections to the broker."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._connections: set[_Connection] = set()
        self._delay_seconds = 0.0
        self._discards = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._handle, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def delay(self, seconds: float) -> None:
        """Delay all data by this time in each direction; 0 ends the delay."""
        self._call(lambda: setattr(self, "_delay_seconds", seconds))

    def cut(self) -> None:
        """Close every connection; new ones are forwarded."""
        self._call(self._cut)

    def start_discarding(self) -> None:
        """Discard all data from now on: connections stay open, and new ones are accepted."""

        def discard() -> None:
            self._discards = True
            for connection in self._connections:
                connection.discards = True

        self._call(discard)

    def stop_discarding(self) -> None:
        """Forward new connections; those that were open until now stay open and discard their data."""
        self._call(lambda: setattr(self, "_discards", False))

    def stop(self) -> None:
        """Close all connections and end the thread."""

        async def end() -> None:
            self._server.close()
            self._cut()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()  # a proxy cannot refuse a connection that it has accepted
            return
        connection = _Connection(writer, server_writer, self._discards)
        self._connections.add(connection)
        to_server = self._forward(reader, server_writer, connection)
        to_client = self._forward(server_reader, writer, connection)
        try:
            await asyncio.gather(to_server, to_client)
        finally:
            connection.cut()
            self._connections.discard(connection)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                if not connection.discards:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass  # closed by one of its ends, or by a fault
        if not connection.discards:
            connection.cut()

    def _cut(self) -> None:
        for connection in self._connections:
            connection.cut()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _call(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        self._run(call())
