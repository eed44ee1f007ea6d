"""The gateway's link to the broker: submissions go out and replies come in over one connection.

Commands follow one another without waiting, and what is published on the gateway's own channel arrives between their
replies (RESP3). That costs a third of what redis-py's pipelines and subscriptions cost
(docs/decisions/0012-one-link-to-the-broker.md), and a link that is up has missed nothing: whoever submits over it has
subscribed first.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final, Protocol, cast

import hiredis
import structlog
from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

_RECONNECT_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 0.8  # for one reply, or for a link that is down
_UNANSWERED_BYTES: Final = 4 * 1024 * 1024  # milliseconds to write: no request times out behind its neighbours' rows

log = structlog.get_logger(__name__)

Argument = str | bytes | int


class Subscriber(Protocol):
    """Who listens on the gateway's channel."""

    def receive(self, message: bytes) -> None:
        """Take what was published."""

    async def recheck_all(self) -> None:
        """A subscription was made: what was published before is lost."""


class _Connection(asyncio.Protocol):
    """Redis's protocol on one socket: replies come in the order of their commands, pushes in between."""

    def __init__(self, on_message: Callable[[bytes], None]) -> None:
        self._on_message = on_message
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=...)
        self._replies: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._transport: asyncio.Transport | None = None
        self.unanswered_bytes = 0
        self.lost = asyncio.Event()

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
        await asyncio.wait([self._replies[0][0]])

    def close(self) -> None:
        """Drop the socket, and whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()

    def _settle(self, reply: Any) -> None:
        future, size = self._replies.popleft()
        self.unanswered_bytes -= size
        if future.done():  # its request has given up
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)


class Script:
    """A Lua script, run by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Link:
    """The connection of the moment; a lost one is made again."""

    def __init__(self, url: str, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._connection: _Connection | None = None
        self._up = asyncio.Event()

    async def keep(self, subscriber: Subscriber) -> None:
        """Stay connected for ever."""
        was_up = False
        while True:
            try:
                self._connection = await self._connect(subscriber)
                self._up.set()
                was_up = True
                await subscriber.recheck_all()
                await self._connection.lost.wait()
                log.warning("lost the link to the broker")
            except (OSError, RedisConnectionError, ResponseError) as error:
                if was_up:  # once, not at every try to get it back
                    log.warning("cannot get the link to the broker back", reason=str(error))
                was_up = False
            except Exception:
                log.exception("the link to the broker failed")
            finally:
                self._up.clear()
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a script, and once more if the connection was lost meanwhile: it must do no harm twice.

        Raises:
            RedisError, OSError: what the server said, or that it said nothing in time.
        """
        try:
            return await self._run(script, keys, args)
        except RedisConnectionError:
            return await self._run(script, keys, args)

    async def _run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        connection = await self._connected()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                try:
                    return await connection.send("EVALSHA", script.sha, len(keys), *keys, *args)
                except ResponseError as error:
                    if not str(error).startswith("NOSCRIPT"):
                        raise
                # A new or restarted server: scripts do not survive a restart.
                return await connection.send("EVAL", script.text, len(keys), *keys, *args)
        except TimeoutError:
            connection.close()  # frozen, or cut off without a word: a new one will tell
            raise

    async def _connected(self) -> _Connection:
        if not self._up.is_set():
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._up.wait()
        assert self._connection is not None
        while self._connection.unanswered_bytes > _UNANSWERED_BYTES:
            await self._connection.next_reply()
        return self._connection

    async def _connect(self, subscriber: Subscriber) -> _Connection:
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                options: dict[str, Any] = dict(parse_url(self._url))
                connection = await _open(options, lambda: _Connection(subscriber.receive))
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
        return connection


async def _open(options: dict[str, Any], protocol: Callable[[], _Connection]) -> _Connection:
    loop = asyncio.get_running_loop()
    if "path" in options:
        opened: Any = await loop.create_unix_connection(protocol, options["path"])
    else:
        tls = options.get("connection_class") is SSLConnection
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs")) if tls else None
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        opened = await loop.create_connection(protocol, host, port, ssl=context)
    return cast(_Connection, opened[1])
