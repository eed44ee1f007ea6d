"""Wraps the asynchronous client with the interface of the synchronous one, so that both run the same operations."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any


class Blocking:
    """Wraps an object of `sepal_client` whose methods are coroutines, and runs them on its own event loop."""

    def __init__(self, wrapped: Any, runner: asyncio.Runner) -> None:
        self._wrapped = wrapped
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        return self._method(value) if callable(value) else value

    def _method(self, method: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            returned = method(*args, **options)
            if isinstance(returned, AsyncIterator):
                return self._iterate(returned)
            if inspect.isawaitable(returned):
                returned = self._runner.run(_await(returned))
            has_methods = any(inspect.iscoroutinefunction(member) for _, member in inspect.getmembers(type(returned)))
            return Blocking(returned, self._runner) if has_methods else returned

        return call

    def _iterate(self, iterator: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._runner.run(_await(anext(iterator)))
            except StopAsyncIteration:
                return


async def _await(awaitable: Any) -> Any:
    return await awaitable
