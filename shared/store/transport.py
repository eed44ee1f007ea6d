"""Runs scripts on the server, and translates its errors.

Transport[Reply]            `run` returns a Reply
├── PipelinedTransport      awaitable: submissions and the reply channel on one connection (pipelined.py)
├── PooledTransport         awaitable: redis-py's pool, for all other calls of a gateway (pooled.py)
└── BlockingTransport       not awaitable: for workers, whose code is synchronous (blocking.py)
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    InvalidResponse,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import BrokerUnavailable, RecordIncompatible
from shared.store.schema import SCHEMA
from shared.store.scripts import Script

Argument = str | bytes | int | float
Reply = TypeVar("Reply", covariant=True)

_UNAVAILABLE_CODES: Final = (
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
)  # the first words of Redis's error replies
_SCHEMA_ERROR_PREFIX: Final = "SCHEMA "  # raised by prelude.lua


class StoreRefused(Exception):
    """The server rejected a script: Sepal has a bug, or something else wrote to one of its keys."""


class Transport(Protocol[Reply]):
    """Runs scripts; a script may run twice if the first reply is lost."""

    def run(self, script: Script, args: Sequence[Argument]) -> Reply:
        """Run a script.

        Raises:
            BrokerUnavailable: the server is unreachable, unresponsive, full or a replica.
            RecordIncompatible: the script read a record of another schema.
            StoreRefused: the server rejected the script.
        """


AsyncTransport = Transport[Awaitable[Any]]


def eval_command(script: Script, args: Sequence[Argument], *, is_known: bool) -> tuple[Argument, ...]:
    """Return the command that runs a script: by its hash if `is_known`, otherwise with its text."""
    return ("EVALSHA", script.sha, 0, *args) if is_known else ("EVAL", script.text, 0, *args)


def is_script_unknown(error: ResponseError) -> bool:
    """Whether the server does not know the hash of the script, as after a restart."""
    return isinstance(error, NoScriptError) or str(error).startswith("NOSCRIPT")


async def run_async(send: Callable[..., Awaitable[Any]], script: Script, args: Sequence[Argument]) -> Any:
    """Run a script with `send`, which sends a command and returns an awaitable of its reply."""
    try:
        return await send(*eval_command(script, args, is_known=True))
    except ResponseError as error:
        if not is_script_unknown(error):
            raise
    return await send(*eval_command(script, args, is_known=False))


EXPECTED_ERRORS: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    InvalidResponse,
    ResponseError,
    OSError,
    TimeoutError,
)
"""The errors that a transport translates; any other is a bug in the caller."""


def translate_error(error: Exception) -> Exception:
    """Return the error to raise instead of one of `EXPECTED_ERRORS`."""
    text = str(error)
    if not isinstance(error, ResponseError) or isinstance(error, (MasterDownError, OutOfMemoryError, ReadOnlyError)):
        return BrokerUnavailable()
    if text.startswith(_UNAVAILABLE_CODES):
        return BrokerUnavailable()
    if text.startswith(_SCHEMA_ERROR_PREFIX):
        return RecordIncompatible(text.split()[1], SCHEMA)
    return StoreRefused(text)
