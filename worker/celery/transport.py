"""kombu's Redis transport, with a check of every message, and without a bug that ends the worker.

Messages from queues, from kombu's list of unacknowledged messages and from broadcasts are checked
(`worker.celery.messages`). Alien messages, which Sepal did not write, are set aside and not passed to kombu.

When the broker connection is lost, Celery 5.7 drops the connection's client, then uses it to requeue and acknowledge
messages. kombu 5.7 raises an AttributeError, which ends the worker; Celery recovers only from connection errors. The
reconciler handles the messages that could not be acknowledged.
"""

import faulthandler
import time
from collections.abc import Sequence
from queue import Empty
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import kombu
import structlog
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.store.records import AlienMessage
from shared.store.schema import Key
from worker.celery.alien_messages import AlienMessages
from worker.celery.messages import check_command, check_unacknowledged, read_task

_ACKNOWLEDGE_WITHIN_SECONDS: Final = (
    0.02  # nothing waits for it: if the batch is redelivered before, its claim finds it final
)

log = structlog.get_logger(__name__)


class QoS(redis.QoS):
    """Keeps the broker's list of unacknowledged messages without delaying the batches.

    kombu makes a round trip to record a message before the worker starts its task, and another one to acknowledge it.
    Here the commands are the same, but the pool process receives its batch first: a message is recorded in the next
    turn of the event loop, before the loop waits. Acknowledgements are sent together with the next record, or after
    20 ms if none follows. The replies are read before the next commands are sent.
    """

    is_paused = False
    """True while no pool process has loaded: the consumer then requests no message."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connection: Any = None
        self._n_unread = 0
        self._unconfirmed: Sequence[tuple[Any, ...]] = ()
        self._to_record: dict[str, Any] = {}
        self._to_acknowledge: list[str] = []
        self._is_acknowledgement_due = False

    def can_consume(self) -> bool:
        """Return whether the consumer may request the next message."""
        return not self.is_paused and bool(super().can_consume())

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a delivered message."""
        super(redis.QoS, self).append(message, delivery_tag)
        self._to_record[delivery_tag] = message
        hub = self.channel.connection.hub
        if hub is None:
            self._send_pending()
        else:
            hub.call_soon(self._send_pending_if_open)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; does nothing once the channel is closed."""
        super(redis.QoS, self).ack(delivery_tag)
        if self.channel.closed:
            return
        self._to_acknowledge.append(delivery_tag)
        hub = self.channel.connection.hub
        if hub is None:
            self._send_pending()
        elif not self._is_acknowledgement_due:
            self._is_acknowledgement_due = True
            hub.call_later(_ACKNOWLEDGE_WITHIN_SECONDS, self._send_acknowledgements)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Requeue a message from the list, or drop it."""
        self._send_pending()
        super().reject(delivery_tag, requeue)

    def restore_unacked_once(self, *args: Any, **options: Any) -> None:
        """Requeue the unacknowledged messages when this worker stops."""
        self._try_to_send_pending()
        super().restore_unacked_once(*args, **options)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Requeue one unacknowledged message; set it aside if it is alien."""
        with self.channel.conn_or_acquire(client) as connected:
            entry = connected.hget(self.unacked_key, tag)
            try:
                if entry is not None:
                    check_unacknowledged(entry)
            except AlienMessage as error:
                self._remove_from_indices(tag).execute()
                self.channel.set_aside(self.unacked_key, entry, error)
            else:
                super().restore_by_tag(tag, connected, leftmost)

    def _send_pending(self) -> None:
        """Send the pending records and acknowledgements."""
        to_record, self._to_record = self._to_record, {}
        to_acknowledge, self._to_acknowledge = self._to_acknowledge, []
        commands: list[tuple[Any, ...]] = []
        for delivery_tag, message in to_record.items():
            delivery = message.delivery_info
            entry = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
            commands.append(("ZADD", self.unacked_index_key, time.time(), delivery_tag))
            commands.append(("HSET", self.unacked_key, delivery_tag, entry))
        if to_record:  # add this worker again if it was taken for dead, so that the reconciler finds these entries
            commands.append(("HSETNX", Key.WORKERS, self.unacked_key.removeprefix(Key.UNACKED), "0 0"))
        if to_acknowledge:
            commands.append(("ZREM", self.unacked_index_key, *to_acknowledge))
            commands.append(("HDEL", self.unacked_key, *to_acknowledge))
        if commands:
            self._send(*commands)

    def _send_acknowledgements(self) -> None:
        self._is_acknowledgement_due = False
        self._send_pending_if_open()

    def _send_pending_if_open(self) -> None:
        # The messages of a closed channel are no longer this worker's. A record of one would keep the reconciler from
        # publishing it again, for as long as this worker is announced.
        if not self.channel.closed:
            self._try_to_send_pending()

    def _try_to_send_pending(self) -> None:
        try:
            self._send_pending()
        except self.channel.connection_errors as error:
            log.warning("could not update the list of unacknowledged messages", reason=str(error))

    def _send(self, *commands: tuple[Any, ...]) -> None:
        transaction = (("MULTI",), *commands, ("EXEC",))
        try:
            self._write(transaction)
        except self.channel.connection_errors:
            # If only this connection was lost, its last transaction may be lost too. Sending it twice does no harm.
            self._connection, self._n_unread = None, 0
            self.channel.pool.disconnect(inuse_connections=False)  # or each of them may time out in turn
            self._write((*self._unconfirmed, *transaction))
        self._unconfirmed = transaction

    def _write(self, commands: Sequence[tuple[Any, ...]]) -> None:
        if self._connection is None:
            self._connection = self.channel.pool.get_connection()
        self._read_replies()
        if self._connection.can_read(timeout=0):  # no reply is due, so it was closed
            raise RedisConnectionError("the connection was closed")
        self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        self._n_unread = len(commands)

    def _read_replies(self) -> None:
        for _ in range(self._n_unread):
            try:
                self._connection.read_response()
            except ResponseError as error:
                log.warning("the broker refused to update the list of unacknowledged messages", reason=str(error))
        self._n_unread = 0


class Channel(redis.Channel):
    """A channel that sets alien messages aside, raises connection errors for a lost broker, and reuses its client."""

    QoS = QoS
    from_transport_options = (*redis.Channel.from_transport_options, "alien_messages")
    alien_messages: AlienMessages
    """Receives alien messages; one of the transport's options."""
    _reused_client: Any = None

    def set_aside(self, source: str, raw_message: bytes, error: AlienMessage) -> None:
        """Set aside a message that failed its check."""
        self.alien_messages.set_aside(source, raw_message, str(error))

    def _brpop_read(self, **options: Any) -> bool:
        # As in kombu, with a check where kombu decodes JSON.
        try:
            popped = self._read_popped(options)
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

    def _read_popped(self, options: dict[str, Any]) -> tuple[bytes, bytes] | None:
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
                payload["data"] = b""  # kombu ignores empty data
        return payload

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("this channel's connection was closed")
        parameters: dict[str, Any] = super()._connparams(asynchronous)
        return parameters

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)
        # kombu makes a client for every command, which costs as much as the command; connections belong to the pool.
        if self._reused_client is None or self._reused_client.connection_pool is not self.pool:
            self._reused_client = super()._create_client()
        return self._reused_client


class BrokerTransport(redis.Transport):
    """The transport that Celery's setting `broker_transport` names."""

    Channel = Channel
    hub: Any = None
    """The event loop; None until the consumer runs. kombu's `get_event_loop` is None after the first reconnect."""

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Called when the event loop is about to run, after every connect."""
        self.hub = loop
        super().register_with_event_loop(connection, loop)


class BrokerConnection(kombu.Connection):
    """A connection that retries a lost broker once a second; kombu's interval would grow to 30 s."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Wait for a connection without a limit; meanwhile, the heartbeat's freeze timer is off."""
        faulthandler.cancel_dump_traceback_later()
        intervals = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
        return super().ensure_connection(*args, **intervals, **options)


# In a Unix socket URL, kombu expects the transport's name before a plus sign, without a dot.
_TRANSPORT_NAME: Final = "sepal"
TRANSPORT_ALIASES[_TRANSPORT_NAME] = f"{__name__}:{BrokerTransport.__name__}"


def broker_url(redis_url: str) -> str:
    """Convert a redis-py URL to kombu's form, which differs for Unix sockets and TLS.

    With a transport named by a setting, kombu uses TLS only if the URL has `ssl_cert_reqs`; redis-py requires valid
    certificates by default.
    """
    parts = urlsplit(redis_url)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parts.query:
        return parts._replace(query=f"{parts.query}&ssl_cert_reqs=required".lstrip("&")).geturl()
    if parts.scheme != "unix":
        return redis_url
    query = dict(parse_qsl(parts.query))
    query["virtual_host"] = query.pop("db", "0")
    return f"{_TRANSPORT_NAME}+socket://{parts.netloc}{parts.path}?{urlencode(query)}"
