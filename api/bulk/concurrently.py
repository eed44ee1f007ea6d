"""Runs several things until the first of them ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


async def run_until_first_ends(wanted: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, NoReturn]) -> T:
    """Return what `wanted` returns, or raise what is raised first; the others are canceled then, and have ended.

    Args:
        wanted: if it ends at the same time as another one, its result or error counts.
        others: each of them only ever raises.
    """
    tasks: list[asyncio.Task[Any]] = [asyncio.ensure_future(each) for each in (wanted, *others)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        result: T = next(task for task in tasks if task in done).result()
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
