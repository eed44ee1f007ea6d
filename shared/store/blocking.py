"""A worker's transport: one connection of its own, and the caller waits."""

import threading
from collections.abc import Sequence
from typing import Any, Final, Self

from redis import ConnectionPool
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.store.scripts import Script
from shared.store.transport import FAULTS, Argument, evaluation, is_unknown_script, translated

# A pool process that has lost the store waits for it: there is nothing else it could do, and giving up would cost the
# batch an attempt. Twenty tries with at most a second between them ride out a broker's restart.
_PATIENT_TRIES: Final = 20
_PATIENT_SECONDS: Final = 2
_BRISK_SECONDS: Final = 1


class BlockingTransport:
    """The store's scripts over one connection of their own; threads take turns.

    redis-py's client looks for a connection in its pool at every call, and counts, names and times the call; that is
    more than half of what a call costs here (docs/decisions/0013-few-round-trips-a-batch.md).
    """

    def __init__(self, url: str, timeout_seconds: float, retry: Retry) -> None:
        self._retry = retry
        self._connection: Any = ConnectionPool.from_url(url, socket_timeout=timeout_seconds).make_connection()
        self._turn = threading.Lock()

    @classmethod
    def waiting(cls, url: str) -> Self:
        """Wait for a server that cannot be reached: a pool process has nothing else to do. Opens no connection yet."""
        faults = RedisConnectionError, RedisTimeoutError, ConnectionError
        retry = Retry(ExponentialBackoff(cap=1, base=0.05), _PATIENT_TRIES, supported_errors=faults)
        return cls(url, _PATIENT_SECONDS, retry)

    @classmethod
    def failing_fast(cls, url: str) -> Self:
        """Wait for nobody: the consumer's event loop stands still meanwhile. A connection found lost is made again."""
        return cls(url, _BRISK_SECONDS, Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)))

    def run(self, script: Script, args: Sequence[Argument]) -> Any:
        """Run a script; see `Transport.run`."""
        with self._turn:
            try:
                return self._retry.call_with_retry(
                    lambda: self._try(script, args), lambda _error: self._connection.disconnect()
                )
            except FAULTS as error:
                raise translated(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def _try(self, script: Script, args: Sequence[Argument]) -> Any:
        try:
            return self._call(*evaluation(script, args, is_known=True))
        except ResponseError as error:
            if not is_unknown_script(error):
                raise
        return self._call(*evaluation(script, args, is_known=False))

    def _call(self, *command: Argument) -> Any:
        try:
            self._connection.send_command(*command)
            return self._connection.read_response()
        except ResponseError:
            raise
        except BaseException:  # a time limit may strike here: what is still to be read would answer the next command
            self._connection.disconnect()
            raise
