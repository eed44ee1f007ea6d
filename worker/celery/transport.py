"""kombu's Redis transport, with a check at its door, and one fault mended that otherwise ends the worker.

A message from a queue, from kombu's list of unacknowledged messages or from a broadcast is passed on only if it has the
right form (`worker.celery.messages`); any other is set aside, and kombu does not see it.

When the broker goes away, Celery 5.7 drops the connection's client and only then gives messages back and acknowledges
tasks through it. kombu 5.7 answers with an AttributeError, which Celery takes as unrecoverable; what it is ready for is
a connection error. What became of the messages that could not be acknowledged, the reconciler finds out.
"""

import faulthandler
import time
from collections.abc import Sequence
from queue import Empty
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import kombu
import structlog
from kombu.asynchronous import get_event_loop
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.store.records import AlienMessage
from shared.store.schema import Key
from worker.celery.alien_messages import AlienMessages
from worker.celery.messages import check_command, check_note, read_task

_SOON_SECONDS: Final = 0.02  # no wait for anybody: what is delivered again meanwhile is found final

log = structlog.get_logger(__name__)


class QoS(redis.QoS):
    """Keeps the broker's list of unacknowledged messages, and has nobody wait for it.

    kombu makes a round trip to note a message before the worker may start on it, and another one to strike it out.
    Here the commands are the same, but the pool process gets its batch first: a message is noted when the event loop
    comes round, which is before it waits for anything. What was acknowledged is struck out along with the next note,
    or soon where none follows. The replies are read before the next commands are sent.
    """

    is_paused = False
    """Set by the worker while it could do nothing with a message."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connection: Any = None
        self._unread = 0
        self._unconfirmed: Sequence[tuple[Any, ...]] = ()
        self._to_note: dict[str, Any] = {}
        self._to_strike_out: list[str] = []
        self._strikes_out_soon = False

    def can_consume(self) -> bool:
        """Whether the next message may be asked for."""
        return not self.is_paused and bool(super().can_consume())

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was delivered."""
        super(redis.QoS, self).append(message, delivery_tag)
        self._to_note[delivery_tag] = message
        loop = get_event_loop()
        if loop is None:
            self.write_down()
        else:
            loop.call_soon(self._write_down_later)

    def ack(self, delivery_tag: str) -> None:
        """Strike a message out."""
        super(redis.QoS, self).ack(delivery_tag)
        self._to_strike_out.append(delivery_tag)
        loop = get_event_loop()
        if loop is None:
            self.write_down()
        elif not self._strikes_out_soon:
            self._strikes_out_soon = True
            loop.call_later(_SOON_SECONDS, self._strike_out)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, from the list, or drop it."""
        self.write_down()
        super().reject(delivery_tag, requeue)

    def restore_unacked_once(self, *args: Any, **options: Any) -> None:
        """Give back what this worker leaves undone, when it stops."""
        self._write_down_if_possible()
        super().restore_unacked_once(*args, **options)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Give one message back, by its note."""
        with self.channel.conn_or_acquire(client) as connected:
            noted = connected.hget(self.unacked_key, tag)
            try:
                if noted is not None:
                    check_note(noted)
            except AlienMessage as error:
                self._remove_from_indices(tag).execute()
                self.channel.set_aside(self.unacked_key, noted, error)
            else:
                super().restore_by_tag(tag, connected, leftmost)

    def write_down(self) -> None:
        """Bring the list up to date."""
        to_note, self._to_note = self._to_note, {}
        to_strike_out, self._to_strike_out = self._to_strike_out, []
        commands: list[tuple[Any, ...]] = []
        for delivery_tag, message in to_note.items():
            delivery = message.delivery_info
            noted = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
            commands.append(("ZADD", self.unacked_index_key, time.time(), delivery_tag))
            commands.append(("HSET", self.unacked_key, delivery_tag, noted))
        if to_note:  # a worker that was thought dead is looked at again, so that the list does not outlive it
            commands.append(("HSETNX", Key.WORKERS, self.unacked_key.removeprefix(Key.UNACKED), "0 0"))
        if to_strike_out:
            commands.append(("ZREM", self.unacked_index_key, *to_strike_out))
            commands.append(("HDEL", self.unacked_key, *to_strike_out))
        if commands:
            self._send(*commands)

    def _strike_out(self) -> None:
        self._strikes_out_soon = False
        self._write_down_later()

    def _write_down_later(self) -> None:
        if not self.channel.closed:  # else its messages are no longer this worker's: a note would keep them from others
            self._write_down_if_possible()

    def _write_down_if_possible(self) -> None:
        try:
            self.write_down()
        except self.channel.connection_errors as error:
            log.warning("could not keep the list of unacknowledged messages", reason=str(error))

    def _send(self, *commands: tuple[Any, ...]) -> None:
        transaction = (("MULTI",), *commands, ("EXEC",))
        try:
            self._write(transaction)
        except self.channel.connection_errors:
            # This connection alone may be lost, and with it what was sent last: noting or striking out twice is once.
            self._connection, self._unread = None, 0
            self.channel.pool.disconnect(inuse_connections=False)  # or be as silent, one after the other
            self._write((*self._unconfirmed, *transaction))
        self._unconfirmed = transaction

    def _write(self, commands: Sequence[tuple[Any, ...]]) -> None:
        if self._connection is None:
            self._connection = self.channel.pool.get_connection()
        self._read_replies()
        if self._connection.can_read(timeout=0):  # nothing is to come: it was closed
            raise RedisConnectionError("the connection was closed")
        self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        self._unread = len(commands)

    def _read_replies(self) -> None:
        for _ in range(self._unread):
            try:
                self._connection.read_response()
            except ResponseError as error:
                log.warning("the broker did not keep its list of unacknowledged messages", reason=str(error))
        self._unread = 0


class Channel(redis.Channel):
    """A channel that lets in what a worker knows, names the loss of its connection, and keeps its client."""

    QoS = QoS
    from_transport_options = (*redis.Channel.from_transport_options, "alien_messages")
    alien_messages: AlienMessages
    """Where messages go that are not let in; one of the transport's options."""
    _kept: Any = None

    def set_aside(self, source: str, raw: bytes, error: AlienMessage) -> None:
        """Deal with a message that is not let in."""
        self.alien_messages.set_aside(source, raw, str(error))

    def _brpop_read(self, **options: Any) -> bool:
        # kombu's own, with the door where it reads JSON.
        try:
            popped = self._popped(options)
            if popped is None:
                raise Empty
            key, raw = popped
            queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            try:
                message = read_task(raw, queue)
            except AlienMessage as error:
                self.set_aside(queue, raw, error)
            else:
                self.connection._deliver(message, queue)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _popped(self, options: dict[str, Any]) -> tuple[bytes, bytes] | None:
        connection = self.client.connection
        try:
            return cast(tuple[bytes, bytes] | None, self.client.parse_response(connection, "BRPOP", **options))
        except self.connection_errors:
            connection.disconnect()  # the next turn of the event loop connects again
            raise

    def _handle_message(self, client: Any, response: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._handle_message(client, response)
        if bytes_to_str(payload["type"]).endswith("message"):
            try:
                check_command(payload["data"])
            except AlienMessage as error:
                self.set_aside(bytes_to_str(payload["channel"]), payload["data"], error)
                payload["data"] = b""  # which kombu passes over
        return payload

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("this channel's connection was closed")
        parameters: dict[str, Any] = super()._connparams(asynchronous)
        return parameters

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)
        # kombu makes a new one for every command, which costs as much as the command; the connections are the pool's.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()
        return self._kept


class BrokerTransport(redis.Transport):
    """What the setting `broker_transport` names."""

    Channel = Channel


class BrokerConnection(kombu.Connection):
    """A connection that looks for a lost broker once a second; kombu would come to wait half a minute between looks."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Wait until there is a connection, for as long as that takes: this process does not stand still meanwhile."""
        faulthandler.cancel_dump_traceback_later()
        intervals = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
        return super().ensure_connection(*args, **intervals, **options)


# In a URL for a Unix socket, kombu wants the transport's name before a plus sign, and no dot in it.
_NAME: Final = "sepal"
TRANSPORT_ALIASES[_NAME] = f"{__name__}:{BrokerTransport.__name__}"


def broker_url(redis_url: str) -> str:
    """Write a redis-py URL as kombu reads it: they differ for Unix sockets, and for TLS.

    Where the transport is named by a setting, kombu speaks TLS only if the URL says how; redis-py checks certificates
    unless it is told otherwise.
    """
    parts = urlsplit(redis_url)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parts.query:
        return parts._replace(query=f"{parts.query}&ssl_cert_reqs=required".lstrip("&")).geturl()
    if parts.scheme != "unix":
        return redis_url
    query = dict(parse_qsl(parts.query))
    query["virtual_host"] = query.pop("db", "0")
    return f"{_NAME}+socket://{parts.netloc}{parts.path}?{urlencode(query)}"
