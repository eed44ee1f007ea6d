"""How scripts reach the server, and what becomes of its errors.

Transport[Reply]            Reply is what `run` returns
├── PipelinedTransport      awaitable: submissions out, replies in, over one connection (pipelined.py)
├── PooledTransport         awaitable: redis-py's pool, for all that must not stand in front of those (pooled.py)
└── BlockingTransport       the reply itself: for workers, which have no event loop of ours (blocking.py)
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

_UNAVAILABLE: Final = (
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
)  # as Redis's own texts begin
_OTHER_SCHEMA: Final = "SCHEMA "  # as prelude.lua says it


class StoreRefused(Exception):
    """The server would not run a script: a bug of ours, or a key that holds what no Sepal writes."""


class Transport(Protocol[Reply]):
    """Runs scripts; each may be run twice, where its reply was lost."""

    def run(self, script: Script, args: Sequence[Argument]) -> Reply:
        """Run one.

        Raises:
            BrokerUnavailable: the server is away, silent, full or a replica.
            RecordIncompatible: the script met a record of another schema.
            StoreRefused: it would not run it.
        """


AsyncTransport = Transport[Awaitable[Any]]


def evaluation(script: Script, args: Sequence[Argument], *, is_known: bool) -> tuple[Argument, ...]:
    """The command that runs a script: by its hash where the server is thought to know it."""
    return ("EVALSHA", script.sha, 0, *args) if is_known else ("EVAL", script.text, 0, *args)


def is_unknown_script(error: ResponseError) -> bool:
    """Whether the server does not know a script's hash: a new or restarted one, which scripts do not survive."""
    return isinstance(error, NoScriptError) or str(error).startswith("NOSCRIPT")


async def run_awaited(send: Callable[..., Awaitable[Any]], script: Script, args: Sequence[Argument]) -> Any:
    """Run a script over whatever sends a command and awaits its reply."""
    try:
        return await send(*evaluation(script, args, is_known=True))
    except ResponseError as error:
        if not is_unknown_script(error):
            raise
    return await send(*evaluation(script, args, is_known=False))


FAULTS: Final = (RedisConnectionError, RedisTimeoutError, InvalidResponse, ResponseError, OSError, TimeoutError)
"""What a transport translates; anything else is a bug of its caller's."""


def translated(error: Exception) -> Exception:
    """Name what a client can do about one of `FAULTS`."""
    text = str(error)
    if not isinstance(error, ResponseError) or isinstance(error, (MasterDownError, OutOfMemoryError, ReadOnlyError)):
        return BrokerUnavailable()
    if text.startswith(_UNAVAILABLE):
        return BrokerUnavailable()
    if text.startswith(_OTHER_SCHEMA):
        return RecordIncompatible(text.split()[1], SCHEMA)
    return StoreRefused(text)
