"""The gateway's pooled transport: redis-py's asyncio pool, for calls that must not delay submissions and replies."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.store.scripts import Script
from shared.store.transport import EXPECTED_ERRORS, Argument, run_async, translate_error

TIMEOUT_SECONDS: Final = 0.8
"""The timeout for one reply, or for a connection."""
_TIMEOUTS_PER_CALL: Final = 2.25  # a request is refused within two seconds if the broker hangs
_CLOSING_SECONDS: Final = 0.1
_MAX_CONNECTIONS: Final = 32


class PooledTransport:
    """Runs each script within two seconds, over a connection that no other call uses at the same time."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Open no connection yet."""
        self._call_timeout_seconds = _TIMEOUTS_PER_CALL * timeout_seconds
        # One retry, only after a lost connection: a pooled connection may have been lost since its last use.
        retry = Retry(ConstantBackoff(0.01), 1, supported_errors=(RedisConnectionError,))
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=retry,
        )
        self._client = Redis.from_pool(self._pool)

    async def run(self, script: Script, args: Sequence[Argument]) -> Any:
        """Run a script; see `Transport.run`."""
        with _reraise_cancellation():
            try:
                async with asyncio.timeout(self._call_timeout_seconds):
                    return await run_async(self._client.execute_command, script, args)
            except EXPECTED_ERRORS as error:
                if not isinstance(error, ResponseError):
                    await self._close_idle_connections()
                raise translate_error(error) from error

    async def _close_idle_connections(self) -> None:
        """Close the idle connections: a half-open one would make the next call time out."""
        with suppress(*EXPECTED_ERRORS):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


@contextmanager
def _reraise_cancellation() -> Iterator[None]:
    """Raise CancelledError again if the block has suppressed it.

    redis-py sends with `asyncio.wait_for`, which before Python 3.12 returns normally if it is canceled just when the
    command has been sent. A canceled task that calls the store in a loop would then never end.
    """
    task = asyncio.current_task()
    assert task is not None, "in a task"
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError
