"""An honest client that sends 50 predictions a second without waiting for responses (an open loop)."""

import asyncio
import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

RATE: Final = 50
"""Requests per second."""
LOST_SECONDS: Final = 10.0
"""Seconds without a response after which a request counts as lost."""
_IDLE_SECONDS: Final = 5.0  # an older connection could be closed by the gateway while a request is on its way
_BODY: Final = b'{"data":[[5.1,3.5,1.4,0.2]]}'
_REQUEST: Final = (
    b"POST /predict HTTP/1.1\r\nHost: sepal\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(_BODY)
) + _BODY


@dataclass(frozen=True)
class Measured:
    """The measurements of the honest client."""

    milliseconds: list[float]
    """Times from the scheduled start of each request to its response, in ascending order."""
    lost: int
    problems: list[str]
    """The statuses and errors of those that were lost."""

    @property
    def requests(self) -> int:
        """The number of requests."""
        return len(self.milliseconds) + self.lost

    def percentile(self, share: float) -> float:
        """Return a percentile of the response times, in milliseconds."""
        if not self.milliseconds:
            return math.inf
        return self.milliseconds[max(math.ceil(share * len(self.milliseconds)), 1) - 1]


class _Responses(asyncio.Protocol):
    """A keep-alive connection with at most one request at a time."""

    def __init__(self) -> None:
        self.is_open = False
        self.used = 0.0
        """The event loop's time of its last response."""
        self._received = b""
        self._response: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.is_open = cast(asyncio.Transport, transport), True

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if separator and len(body) >= _length(head):
            self._received = b""
            self._finish(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._response is not None and not self._response.done():
            self._response.set_exception(exc or ConnectionResetError("the connection was closed"))

    async def predict(self) -> int:
        """Send one request; return the status of the response."""
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(_REQUEST)
        async with asyncio.timeout(LOST_SECONDS):
            return await self._response

    def close(self) -> None:
        """Close the connection."""
        if self.is_open:
            self._transport.abort()

    def _finish(self, status: int) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_result(status)


class HonestClient:
    """Sends requests at fixed times, on idle connections or, if there are none, on new ones."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Responses] = []
        self._milliseconds: list[float] = []
        self._problems: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> Measured:
        """Send requests for so many seconds, and wait for the responses."""
        loop = asyncio.get_running_loop()
        gc.freeze()
        gc.disable()
        began = loop.time()
        for number in range(round(seconds * RATE)):
            due = began + number / RATE
            await asyncio.sleep(max(due - loop.time(), 0))
            task = loop.create_task(self._predict(due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*self._tasks)
        gc.enable()
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        return Measured(sorted(self._milliseconds), len(self._problems), self._problems)

    async def _predict(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection = await self._connection()
            status = await connection.predict()
        except (OSError, TimeoutError) as error:
            self._problems.append(str(error) or type(error).__name__)
            return
        if status == 200:
            self._milliseconds.append((loop.time() - due) * 1000)
        else:
            self._problems.append(str(status))
        connection.used = loop.time()
        self._idle.append(connection)

    async def _connection(self) -> _Responses:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.used > asyncio.get_running_loop().time() - _IDLE_SECONDS:
                return connection
            connection.close()
        async with asyncio.timeout(LOST_SECONDS):
            _, opened = await asyncio.get_running_loop().create_connection(_Responses, "127.0.0.1", self._port)
        return opened


def shown(measured: Measured, usual: float) -> Sequence[str]:
    """Return the cells of a line of the report: times in milliseconds, and the 99th percentile against the usual."""
    p50, p99, longest = (measured.percentile(share) for share in (0.5, 0.99, 1.0))
    return (
        f"{measured.requests}",
        f"{measured.lost}",
        f"{p50:.1f}",
        f"{p99:.1f}",
        f"{longest:.1f}",
        f"{p99 / usual:.2f}",
    )


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0
