"""Running several coroutines until the first one ends."""

import asyncio
from typing import NoReturn

import pytest

from api.bulk.concurrency import run_until_first_ends


class Ended(Exception):
    """Raised by one of several."""


async def forever(ended: list[str]) -> NoReturn:
    try:
        await asyncio.Event().wait()
        raise AssertionError
    finally:
        ended.append("forever")


async def fail() -> NoReturn:
    raise Ended


async def give(value: int) -> int:
    return value


async def test_result_ends_the_others() -> None:
    ended: list[str] = []
    assert await run_until_first_ends(give(3), forever(ended)) == 3
    assert ended == ["forever"]


async def test_error_of_another_ends_all() -> None:
    ended: list[str] = []
    with pytest.raises(Ended):
        await run_until_first_ends(forever(ended), fail())
    assert ended == ["forever"]


async def test_result_counts_if_another_fails_at_the_same_time() -> None:
    assert await run_until_first_ends(give(3), fail()) == 3


async def test_cancellation_ends_all() -> None:
    ended: list[str] = []
    task = asyncio.create_task(run_until_first_ends(forever(ended), forever(ended)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["forever", "forever"]
