"""The worker's transport: one connection with blocking calls."""

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
from shared.store.transport import EXPECTED_ERRORS, Argument, eval_command, is_script_unknown, translate_error

# A pool process retries if the store is unavailable: it has no other work, and an error would cost the batch an
# attempt. Twenty tries with at most a second between them last longer than a restart of the broker.
_MAX_RETRIES: Final = 20
_RETRIES_TIMEOUT_SECONDS: Final = 2
_ONE_RETRY_TIMEOUT_SECONDS: Final = 1


class BlockingTransport:
    """Runs scripts over one connection; threads take turns.

    redis-py's client would take a connection from its pool for each call, and count and time the call: more than half
    of the cost of a call (docs/decisions/0013-few-round-trips-a-batch.md).
    """

    def __init__(self, url: str, timeout_seconds: float, retry: Retry) -> None:
        self._retry = retry
        self._connection: Any = ConnectionPool.from_url(url, socket_timeout=timeout_seconds).make_connection()
        self._lock = threading.Lock()

    @classmethod
    def with_retries(cls, url: str) -> Self:
        """Create the transport of a pool process, which retries while the server is unreachable; open no connection."""
        errors = RedisConnectionError, RedisTimeoutError, ConnectionError
        retry = Retry(ExponentialBackoff(cap=1, base=0.05), _MAX_RETRIES, supported_errors=errors)
        return cls(url, _RETRIES_TIMEOUT_SECONDS, retry)

    @classmethod
    def with_one_retry(cls, url: str) -> Self:
        """Create the consumer's transport: it retries only once, because calls block the consumer's event loop."""
        return cls(url, _ONE_RETRY_TIMEOUT_SECONDS, Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)))

    def run(self, script: Script, args: Sequence[Argument]) -> Any:
        """Run a script; see `Transport.run`."""
        with self._lock:
            try:
                return self._retry.call_with_retry(
                    lambda: self._try(script, args), lambda _error: self._connection.disconnect()
                )
            except EXPECTED_ERRORS as error:
                raise translate_error(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def _try(self, script: Script, args: Sequence[Argument]) -> Any:
        try:
            return self._call(*eval_command(script, args, is_known=True))
        except ResponseError as error:
            if not is_script_unknown(error):
                raise
        return self._call(*eval_command(script, args, is_known=False))

    def _call(self, *command: Argument) -> Any:
        try:
            self._connection.send_command(*command)
            return self._connection.read_response()
        except ResponseError:
            raise
        except BaseException:  # such as a time limit: the next command would read the reply of this one
            self._connection.disconnect()
            raise
