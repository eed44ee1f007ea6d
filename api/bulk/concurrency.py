"""Runs coroutines concurrently until the first of them ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


async def run_until_first_ends(
    main_coroutine: Coroutine[Any, Any, T], *other_coroutines: Coroutine[Any, Any, NoReturn]
) -> T:
    """Return the result of `main_coroutine`, or raise the first error; cancel the others and wait for their end.

    Args:
        main_coroutine: the coroutine to run; its result or error takes precedence if another one ends at the same time.
        other_coroutines: coroutines that never return; they can only raise.
    """
    tasks: list[asyncio.Task[Any]] = [asyncio.ensure_future(each) for each in (main_coroutine, *other_coroutines)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        result: T = next(task for task in tasks if task in done).result()
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
