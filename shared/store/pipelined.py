"""The gateway's pipelined transport: submissions and the reply channel share one connection.

Commands are sent without waiting for earlier replies, and messages of the reply channel arrive between replies (RESP3).
This takes a third of the CPU time of redis-py's pipelines and subscriptions
(docs/decisions/0012-one-link-to-the-broker.md). The connection subscribes before the first submission, so no message is
missed while it is up.
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
from shared.store.transport import EXPECTED_ERRORS, Argument, run_async, translate_error

_RECONNECT_SECONDS: Final = 0.5
_PING_SECONDS: Final = 1.0
TIMEOUT_SECONDS: Final = 0.8
"""The timeout for one reply, or for a connection."""
_TIMEOUTS_PER_CALL: Final = 2.25  # a request is refused within two seconds if the broker hangs
_MAX_UNANSWERED_BYTES: Final = 4 * 1024 * 1024  # sent within milliseconds, so that queued commands do not time out

log = structlog.get_logger(__name__)


class Subscriber(Protocol):
    """Receives the messages of the gateway's reply channel."""

    def receive(self, message: bytes) -> None:
        """Handle a message."""

    async def recheck_all(self) -> None:
        """Check every pending batch; called after each subscription, because earlier messages are lost."""


class _Connection(asyncio.Protocol):
    """A RESP3 connection: replies arrive in the order of their commands, with pushes between them."""

    def __init__(self, on_message: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=...)
        self._replies: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._transport: asyncio.Transport | None = None
        self.unanswered_bytes = 0
        self.lost = asyncio.Event()
        self._reply_arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        for reply in iter(self._reader.gets, ...):
            if isinstance(reply, hiredis.PushNotification):
                if reply[0] == b"message":
                    self._on_message(reply[2])
            else:
                self._resolve_next(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()
        self._on_lost()
        while self._replies:
            self._resolve_next(RedisConnectionError(f"lost: {error or 'closed'}"))

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command; the future resolves to its reply."""
        reply = asyncio.get_running_loop().create_future()
        if self.lost.is_set():
            reply.set_exception(RedisConnectionError("lost"))
            return reply
        size = self.write(*command)
        self._replies.append((reply, size))
        self.unanswered_bytes += size
        return reply

    def write(self, *command: Argument) -> int:
        """Send a command without waiting for a reply; returns its size in bytes."""
        assert self._transport is not None
        packed = hiredis.pack_command(cast(Any, command))
        self._transport.write(packed)
        return len(packed)

    async def wait_for_reply(self) -> None:
        """Wait for the next reply, to any command."""
        self._reply_arrived.clear()
        await self._reply_arrived.wait()

    def close(self) -> None:
        """Close the socket and discard unsent data."""
        if self._transport is not None:
            self._transport.abort()

    def _resolve_next(self, reply: Any) -> None:
        future, size = self._replies.popleft()
        self.unanswered_bytes -= size
        self._reply_arrived.set()
        if future.done():  # the caller was canceled
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)


class PipelinedTransport:
    """Runs scripts over one connection, and reconnects when it is lost."""

    def __init__(self, url: str, channel: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._channel = channel
        self._timeout_seconds = timeout_seconds
        self._connection: _Connection | None = None
        self._up = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._up.is_set()

    async def keep_connected(self, subscriber: Subscriber) -> None:
        """Connect, and reconnect whenever the connection is lost; never return."""
        is_failing = False
        while True:
            try:
                connection = await self._connect(subscriber)
                is_failing = False
                await subscriber.recheck_all()
                await _wait_until_lost(connection, self._timeout_seconds)
                log.warning("lost the connection to the broker")
            except (OSError, RedisConnectionError, ResponseError) as error:
                if not is_failing:  # log only the first failure
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
        """Run a script; retry once if the connection is lost. See `Transport.run`."""
        try:
            async with asyncio.timeout(_TIMEOUTS_PER_CALL * self._timeout_seconds):
                return await self._run(script, args)
        except EXPECTED_ERRORS as error:
            raise translate_error(error) from error

    async def _run(self, script: Script, args: Sequence[Argument]) -> Any:
        connection = await self._wait_for_connection()
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        try:
            return await _run_with_deadline(connection, deadline, script, args)
        except RedisConnectionError:
            async with asyncio.timeout_at(deadline):
                connection = await self._wait_for_connection()
            return await _run_with_deadline(connection, deadline, script, args)

    async def _wait_for_connection(self) -> _Connection:
        while True:
            if not self._up.is_set():
                async with asyncio.timeout(self._timeout_seconds):
                    await self._up.wait()
            connection = self._connection
            assert connection is not None, "a transport that is up has a connection"
            if connection.unanswered_bytes <= _MAX_UNANSWERED_BYTES:
                return connection
            await connection.wait_for_reply()

    async def _connect(self, subscriber: Subscriber) -> _Connection:
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                options: dict[str, Any] = dict(parse_url(self._url))
                connection = await _open_connection(options, lambda: _Connection(subscriber.receive, self._up.clear))
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


async def _wait_until_lost(connection: _Connection, timeout_seconds: float) -> None:
    """Ping every second; close the connection if a ping times out, and return when the connection is lost."""
    while not connection.lost.is_set():
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await connection.lost.wait()
        except TimeoutError:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await connection.send("PING")
            except TimeoutError:
                connection.close()
                return


async def _run_with_deadline(connection: _Connection, deadline: float, script: Script, args: Sequence[Argument]) -> Any:
    try:
        async with asyncio.timeout_at(deadline):
            return await run_async(connection.send, script, args)
    except TimeoutError:
        connection.close()  # the server hangs or the connection is dead: reconnect
        raise


async def _open_connection(options: dict[str, Any], protocol: Callable[[], _Connection]) -> _Connection:
    loop = asyncio.get_running_loop()
    if "path" in options:
        opened: Any = await loop.create_unix_connection(protocol, options["path"])
    else:
        tls = options.pop("connection_class", None) is SSLConnection
        context = SSLConnection(**options).ssl_context.get() if tls else None  # applies all TLS options of the URL
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        opened = await loop.create_connection(protocol, host, port, ssl=context)
    return cast(_Connection, opened[1])
