"""One connection of an attacker: sends the steps of a case while it reads the responses."""

import asyncio
import contextlib
import select
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import h11

from tests.attack.case import Act, AwaitResponses, Drip, Flood, Step
from tests.attack.response import Response, ResponseReader

_PACKET_SECONDS: Final = 0.01  # between two packets, so that the gateway reads them separately
_POLL_SECONDS: Final = 0.02
_READ_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class Target:
    """Where the gateway, or a proxy in front of it, listens."""

    host: str
    port: int
    tls: bool = False
    seconds: float = 10
    """The time-out of one response in seconds."""

    async def connect(self, source: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection, from one of this machine's addresses; a certificate is not verified."""
        context = None
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return await asyncio.open_connection(
            self.host, self.port, ssl=context, limit=_READ_BYTES, local_addr=(source, 0) if source else None
        )


class End(Enum):
    """How a connection ended."""

    NOT = "open"
    CLOSED = "closed"
    RESET = "reset"


@dataclass
class Exchange:
    """The bytes and responses received on one connection."""

    responses: list[Response] = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)
    end: End = End.NOT
    fault: str = ""
    """Why the received bytes are not HTTP; empty if they are."""
    seconds: float = 0
    """Time to the end of the exchange."""

    @property
    def count(self) -> int:
        """The number of responses of both kinds."""
        return len(self.responses) + len(self.interim)


class Connection:
    """A connection that reads in the background while its steps are sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, head: bool) -> None:
        self.exchange = Exchange()
        self._reader, self._writer = reader, writer
        self._responses = ResponseReader(head=head)
        self._began = time.monotonic()
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, target: Target, *, head: bool = False) -> "Connection":
        """Connect to a target."""
        return cls(*await target.connect(), head=head)

    async def send(self, steps: Sequence[Step], seconds: float) -> None:
        """Carry out the steps, as far as the gateway lets it; a step may take so many seconds."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            for number, step in enumerate(steps):
                if number:
                    await asyncio.sleep(_PACKET_SECONDS)
                await self._take(step, seconds)

    async def wait_for_responses(self, count: int, seconds: float) -> None:
        """Wait until so many responses have arrived, or the connection has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self.exchange.responses) < count and self.exchange.end is End.NOT:
                    await self._next_change()

    async def wait_for_end(self, seconds: float) -> None:
        """Wait until the gateway ends the connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.exchange.end is End.NOT:
                    await self._next_change()
        self.exchange.seconds = time.monotonic() - self._began

    async def close(self) -> None:
        """Close the connection, and discard unsent data."""
        self._reading.cancel()
        self._writer.transport.abort()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._writer.wait_closed()

    @property
    def is_between_responses(self) -> bool:
        """Whether all that arrived is complete."""
        return self._responses.is_between_responses

    async def _take(self, step: Step, seconds: float) -> None:
        if isinstance(step, bytes):
            await self._write(step, seconds)
        elif isinstance(step, Drip):
            await self._drip(step, seconds)
        elif isinstance(step, Flood):
            for _ in range(step.times):
                await self._write(step.unit, seconds)
                await asyncio.sleep(0)  # let the reader run: otherwise a reset could overtake a response
        elif isinstance(step, AwaitResponses):
            await self._wait_for_count(step.count, seconds)
        elif step is Act.HALF_CLOSE:
            self._writer.write_eof()
        elif step is Act.STOP_READING:
            self._reading.cancel()
            self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        else:
            await self._wait_unread(seconds)

    async def _wait_for_count(self, count: int, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while self.exchange.count < count and self.exchange.end is End.NOT:
                await self._next_change()

    async def _write(self, data: bytes, seconds: float) -> None:
        if self.exchange.end is not End.NOT:
            raise ConnectionResetError
        self._writer.write(data)
        async with asyncio.timeout(seconds):
            await self._writer.drain()

    async def _drip(self, drip: Drip, seconds: float) -> None:
        before = self.exchange.count
        for start in range(0, len(drip.data), drip.size):
            if self.exchange.count > before:
                return
            await self._write(drip.data[start : start + drip.size], seconds)
            await asyncio.sleep(drip.every)

    async def _wait_unread(self, seconds: float) -> None:
        """Wait until the kernel reports that the peer has closed the connection."""
        handle = self._writer.get_extra_info("socket").fileno()
        poll = select.poll()
        poll.register(handle, select.POLLRDHUP)
        deadline = time.monotonic() + seconds
        while not (events := poll.poll(0)) and time.monotonic() < deadline:  # noqa: ASYNC110 - the kernel's event
            await asyncio.sleep(_POLL_SECONDS)
        if events:
            self._end(End.RESET if events[0][1] & (select.POLLERR | select.POLLHUP) else End.CLOSED)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(_READ_BYTES):
                self._take_responses(data)
                self._change()
            if not self._responses.is_between_responses:
                self._take_responses(b"")
            self._end(End.CLOSED)
        except h11.RemoteProtocolError as error:
            self.exchange.fault = str(error)
            self._end(End.CLOSED)
        except OSError:
            self._end(End.RESET)

    def _take_responses(self, data: bytes) -> None:
        for response in self._responses.feed(data):
            (self.exchange.interim if response.is_interim else self.exchange.responses).append(response)

    def _end(self, end: End) -> None:
        self.exchange.end = end
        self.exchange.seconds = time.monotonic() - self._began
        self._change()

    def _change(self) -> None:
        self._changed.set()

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
