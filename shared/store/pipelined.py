"""The gateway's pipelined connection: submissions go out and replies come in over one socket.

Commands follow one another without waiting, and what is published on the gateway's own channel arrives between their
replies (RESP3). That costs a third of what redis-py's pipelines and subscriptions cost
(docs/decisions/0012-one-link-to-the-broker.md), and a connection that is up has missed nothing: whoever submits over it
has subscribed first.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

import hiredis
import structlog
from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.store.scripts import Script
from shared.store.transport import FAULTS, Argument, run_awaited, translated

_RECONNECT_SECONDS: Final = 0.5
_PING_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 0.8
"""For one reply, or for a connection that is down."""
_OPERATION_PATIENCES: Final = 2.25  # a request that finds the broker frozen is refused within two seconds
_UNANSWERED_BYTES: Final = 4 * 1024 * 1024  # milliseconds to write: no request times out behind its neighbours' rows

log = structlog.get_logger(__name__)


class Subscriber(Protocol):
    """Who listens on the gateway's channel."""

    def receive(self, message: bytes) -> None:
        """Take what was published."""

    async def recheck_all(self) -> None:
        """A subscription was made: what was published before is lost."""


class _Connection(asyncio.Protocol):
    """Redis's protocol on one socket: replies come in the order of their commands, pushes in between."""

    def __init__(self, on_message: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=...)
        self._replies: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._transport: asyncio.Transport | None = None
        self.unanswered_bytes = 0
        self.lost = asyncio.Event()
        self._settled = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        for reply in iter(self._reader.gets, ...):
            if isinstance(reply, hiredis.PushNotification):
                if reply[0] == b"message":
                    self._on_message(reply[2])
            else:
                self._settle(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()
        self._on_lost()
        while self._replies:
            self._settle(RedisConnectionError(f"lost: {error or 'closed'}"))

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Write a command; the future is its reply."""
        reply = asyncio.get_running_loop().create_future()
        if self.lost.is_set():
            reply.set_exception(RedisConnectionError("lost"))
            return reply
        size = self.write(*command)
        self._replies.append((reply, size))
        self.unanswered_bytes += size
        return reply

    def write(self, *command: Argument) -> int:
        """Write a command that has no reply of its own; returns its size."""
        assert self._transport is not None
        packed = hiredis.pack_command(cast(Any, command))
        self._transport.write(packed)
        return len(packed)

    async def next_reply(self) -> None:
        """Wait until one more command has been answered, whatever the answer."""
        self._settled.clear()
        await self._settled.wait()

    def close(self) -> None:
        """Drop the socket, and whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()

    def _settle(self, reply: Any) -> None:
        future, size = self._replies.popleft()
        self.unanswered_bytes -= size
        self._settled.set()
        if future.done():  # its request has given up
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)


class PipelinedTransport:
    """The connection of the moment; a lost one is made again."""

    def __init__(self, url: str, channel: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._url = url
        self._channel = channel
        self._patience_seconds = patience_seconds
        self._connection: _Connection | None = None
        self._up = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether a submission would find a connection."""
        return self._up.is_set()

    async def keep(self, subscriber: Subscriber) -> None:
        """Stay connected for ever."""
        is_failing = False
        while True:
            try:
                connection = await self._connect(subscriber)
                is_failing = False
                await subscriber.recheck_all()
                await _stay(connection, self._patience_seconds)
                log.warning("lost the connection to the broker")
            except (OSError, RedisConnectionError, ResponseError) as error:
                if not is_failing:  # once, not at every try
                    log.warning("cannot connect to the broker", reason=str(error) or type(error).__name__)
                is_failing = True
            except Exception:
                log.exception("the connection to the broker failed")
            finally:
                self._up.clear()
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def run(self, script: Script, args: Sequence[Argument]) -> Any:
        """Run a script, and once more if the connection was lost meanwhile; see `Transport.run`."""
        try:
            async with asyncio.timeout(_OPERATION_PATIENCES * self._patience_seconds):
                return await self._run(script, args)
        except FAULTS as error:
            raise translated(error) from error

    async def _run(self, script: Script, args: Sequence[Argument]) -> Any:
        connection = await self._connected()
        deadline = asyncio.get_running_loop().time() + self._patience_seconds
        try:
            return await _call(connection, deadline, script, args)
        except RedisConnectionError:
            async with asyncio.timeout_at(deadline):
                connection = await self._connected()
            return await _call(connection, deadline, script, args)

    async def _connected(self) -> _Connection:
        while True:
            if not self._up.is_set():
                async with asyncio.timeout(self._patience_seconds):
                    await self._up.wait()
            connection = self._connection
            assert connection is not None, "a transport that is up has one"
            if connection.unanswered_bytes <= _UNANSWERED_BYTES:
                return connection
            await connection.next_reply()

    async def _connect(self, subscriber: Subscriber) -> _Connection:
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._patience_seconds):
                options: dict[str, Any] = dict(parse_url(self._url))
                connection = await _open(options, lambda: _Connection(subscriber.receive, self._up.clear))
                password = options.get("password")
                authentication = ("AUTH", options.get("username", "default"), password) if password else ()
                await connection.send("HELLO", 3, *authentication)
                await connection.send("SELECT", options.get("db", 0))
                connection.write("SUBSCRIBE", self._channel)  # its reply is a push
                await connection.send("PING")
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        self._connection = connection
        self._up.set()
        return connection


async def _stay(connection: _Connection, patience_seconds: float) -> None:
    """Return when a connection is lost; one that swallows what it is given is closed."""
    while not connection.lost.is_set():
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await connection.lost.wait()
        except TimeoutError:
            try:
                async with asyncio.timeout(patience_seconds):
                    await connection.send("PING")
            except TimeoutError:
                connection.close()
                return


async def _call(connection: _Connection, deadline: float, script: Script, args: Sequence[Argument]) -> Any:
    try:
        async with asyncio.timeout_at(deadline):
            return await run_awaited(connection.send, script, args)
    except TimeoutError:
        connection.close()  # frozen, or cut off without a word: a new one will tell
        raise


async def _open(options: dict[str, Any], protocol: Callable[[], _Connection]) -> _Connection:
    loop = asyncio.get_running_loop()
    if "path" in options:
        opened: Any = await loop.create_unix_connection(protocol, options["path"])
    else:
        tls = options.pop("connection_class", None) is SSLConnection
        context = SSLConnection(**options).ssl_context.get() if tls else None  # with all that a URL can say of it
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        opened = await loop.create_connection(protocol, host, port, ssl=context)
    return cast(_Connection, opened[1])
