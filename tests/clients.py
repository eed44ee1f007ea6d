"""Both clients, with the methods of the synchronous one."""

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from sepal_client import AsyncDeadLetters, AsyncPrediction, AsyncSepal, Sepal
from tests.patience import patience

Connect = Callable[..., AbstractContextManager[Any]]
"""Opens a client of a URL; takes the options of `Sepal`; the default time-out is that of the tests."""
Later = Callable[[float], None]
"""Sets the clock of the client's timers forward by a number of seconds."""
KINDS = ("sync", "async")


class Blocking:
    """Calls the methods of an object of the asynchronous client, and waits for each."""

    def __init__(self, wrapped: Any, runner: asyncio.Runner) -> None:
        self._wrapped = wrapped
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        if isinstance(found, AsyncDeadLetters):
            return Blocking(found, self._runner)
        if not callable(found):
            return self._wrap(found)

        def call(*args: Any, **options: Any) -> Any:
            return self._finish(found(*args, **options))

        return call

    def _finish(self, returned: Any) -> Any:
        if inspect.isawaitable(returned):
            returned = self._runner.run(_await(returned))
        if inspect.isasyncgen(returned):
            return self._iterate(returned)
        return self._wrap(returned)

    def _wrap(self, found: Any) -> Any:
        return Blocking(found, self._runner) if isinstance(found, (AsyncDeadLetters, AsyncPrediction)) else found

    def _iterate(self, generator: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._runner.run(_await(generator.__anext__()))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(_await(generator.aclose()))


async def _await(awaitable: Any) -> Any:
    return await awaitable


def connector(kind: str) -> Connect:
    """Return a function that opens clients of one of `KINDS`."""
    return _open if kind == "sync" else _open_async


def _open(url: str, **options: Any) -> AbstractContextManager[Any]:
    return Sepal(url, **{"timeout": patience(), "retry_for": patience(), **options})


@contextlib.contextmanager
def _open_async(url: str, **options: Any) -> Iterator[Any]:
    with asyncio.Runner() as runner:
        client = AsyncSepal(url, **{"timeout": patience(), "retry_for": patience(), **options})
        try:
            yield Blocking(client, runner)
        finally:
            runner.run(client.aclose())
