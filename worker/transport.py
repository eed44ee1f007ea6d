"""kombu's Redis transport, with one fault mended that otherwise ends the worker whenever its broker restarts.

When the broker goes away, Celery 5.7 drops the connection's client and only then gives messages back and acknowledges
tasks through it. kombu 5.7 answers with an AttributeError, which Celery takes as unrecoverable; what it is ready for is
a connection error. A message that could not be given back or acknowledged stays in the broker's own list of
unacknowledged ones, and is delivered again after the visibility timeout.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError


class Channel(redis.Channel):
    """A channel that names the loss of its connection, and keeps the client it makes commands with."""

    _kept: Any = None

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


class Transport(redis.Transport):
    """What the setting `broker_transport` names."""

    Channel = Channel
