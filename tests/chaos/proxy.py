"""A TCP proxy that can be slow, cut what it carries, or leave connections open and swallow what comes.

It runs on a thread of its own; its methods are called from any other.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_CHUNK_BYTES: Final = 65_536


class _Carried:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, is_dark: bool) -> None:
        self.writers = client, server
        self.is_dark = is_dark
        """Whether it carries nothing any more, in either direction, and does not say so."""

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """Stands between the broker and everybody else."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._carried: set[_Carried] = set()
        self._delay_seconds = 0.0
        self._is_dark = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def delay(self, seconds: float) -> None:
        """From now on, hold everything for so long, in each direction; 0 ends it."""
        self._call(lambda: setattr(self, "_delay_seconds", seconds))

    def cut(self) -> None:
        """Break every connection; new ones are carried."""
        self._call(self._cut)

    def go_dark(self) -> None:
        """Carry nothing any more: connections stay open, and new ones are taken as if somebody were there."""

        def darken() -> None:
            self._is_dark = True
            for carried in self._carried:
                carried.is_dark = True

        self._call(darken)

    def light_up(self) -> None:
        """Carry new connections; those that were open in the dark stay as dead as they look alive."""
        self._call(lambda: setattr(self, "_is_dark", False))

    def stop(self) -> None:
        """Break everything and end the thread."""

        async def end() -> None:
            self._server.close()
            self._cut()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()  # as refused as a proxy can be
            return
        carried = _Carried(writer, server_writer, self._is_dark)
        self._carried.add(carried)
        try:
            await asyncio.gather(self._pump(reader, server_writer, carried), self._pump(server_reader, writer, carried))
        finally:
            carried.cut()
            self._carried.discard(carried)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, carried: _Carried) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                if not carried.is_dark:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass  # cut by one of its ends, or by a fault
        if not carried.is_dark:
            carried.cut()

    def _cut(self) -> None:
        for carried in self._carried:
            carried.cut()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _call(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        self._run(call())
