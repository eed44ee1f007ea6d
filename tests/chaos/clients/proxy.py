"""A proxy between a client and several gateways that carries out the strikes of a plan.

It forwards bytes as they are and reads only the heads of requests. It runs on a separate thread; its methods may be
called from any other thread.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from tests.chaos.clients.link import Link
from tests.chaos.clients.strikes import Plan, Seen, Strike, Target
from tests.stack import free_port

T = TypeVar("T")

_HOST: Final = "127.0.0.1"


class FaultProxy:
    """Forwards each connection to the next gateway; refuses connections if there is none."""

    def __init__(self, kill: Callable[[int | None], None]) -> None:
        """Start.

        Args:
            kill: kills the gateway with this port, or all of them; called in the proxy's thread.
        """
        self.kill = kill
        self._gateways: list[int] = []
        self._links: set[Link] = set()
        self._plan: Plan | None = None
        self._seen: list[Seen] = []
        self._server: asyncio.Server | None = None
        self._starting = asyncio.Lock()
        self._is_stopping = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._thread.start()
        self.port = free_port()
        """The port that it listens on while there is a gateway."""

    def add(self, gateway: int) -> None:
        """Also forward to this port."""

        async def add() -> None:
            async with self._starting:
                self._gateways.append(gateway)
                if self._server is None:
                    self._server = await asyncio.start_server(self._handle, _HOST, self.port)

        self._run(add())

    def remove(self, gateway: int) -> None:
        """Stop forwarding new connections to this port, and stop listening if it was the last one."""

        def remove() -> None:
            self._gateways.remove(gateway)
            if not self._gateways:
                self._stop_listening()

        self._loop.call_soon_threadsafe(remove)

    def arm(self, plan: Plan) -> None:
        """Start to carry out a plan."""

        async def arm() -> None:
            self._plan, self._seen = plan, []

        self._run(arm())

    def disarm(self) -> list[Seen]:
        """End the plan; return the requests since it was armed."""

        async def disarm() -> list[Seen]:
            self._plan = None
            return self._seen

        return self._run(disarm())

    def cut(self) -> None:
        """Cut all connections."""

        async def cut() -> None:
            for link in self._links:
                link.abort()

        self._run(cut())

    def n_links(self) -> int:
        """Return the number of open connections to gateways."""
        return len(self._links)

    def stop(self) -> None:
        """Close all connections and end the thread."""

        async def end() -> None:
            self._is_stopping = True
            self._stop_listening()
            await asyncio.sleep(0)
            while tasks := asyncio.all_tasks() - {asyncio.current_task()}:  # accepting a connection makes another one
                for link in self._links:
                    link.abort()
                await asyncio.gather(*tasks, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def see(self, target: Target, at: float) -> Seen:
        """Record a request, and take the strike against it from the plan."""
        strike: Strike | None = None
        if self._plan is not None and self._plan.matches(target):
            strike = next(self._plan.strikes, None)
        seen = Seen(target, at, strike)
        self._seen.append(seen)
        return seen

    def _stop_listening(self) -> None:
        """Stop accepting connections; asyncio leaks a connection if its server is closed before it has accepted it."""
        server, self._server = self._server, None
        if server is not None:
            for listening in server.sockets:
                self._loop.remove_reader(listening)
            self._loop.call_soon(server.close)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for gateway in [*self._gateways]:
            with suppress(OSError):
                to_gateway = await asyncio.open_connection(_HOST, gateway)
                self._gateways.append(self._gateways.pop(0))
                break
        else:
            writer.transport.abort()
            return
        link = Link(self, gateway, (reader, writer), to_gateway)
        self._links.add(link)
        if self._is_stopping:
            link.abort()
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
