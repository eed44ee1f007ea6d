"""The lock that is passed to the shortest waiting job."""

import asyncio
from contextlib import suppress

import pytest

from api.http.shortest_first_lock import ShortestFirstLock


class Jobs:
    """Jobs that hold the lock until they are told to end."""

    def __init__(self) -> None:
        self._turns = ShortestFirstLock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self.began: list[str] = []

    async def start(self, name: str, length: int) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._run(name, length))
        await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await asyncio.sleep(0)

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        with suppress(asyncio.CancelledError):
            await self._tasks[name]
        await asyncio.sleep(0)

    def let_all_end(self) -> None:
        for end in self._ends.values():
            end.set()

    async def _run(self, name: str, length: int) -> None:
        async with self._turns.hold(length):
            self.began.append(name)
            await self._ends[name].wait()


async def test_shorter_job_overtakes_the_longer_ones_that_wait() -> None:
    jobs = Jobs()
    for name, length in (("first", 9), ("long", 9), ("longer", 10), ("short", 1), ("as long", 9)):
        await jobs.start(name, length)
    for name in ("first", "short", "long", "as long", "longer"):
        await jobs.end(name)
    assert jobs.began == ["first", "short", "long", "as long", "longer"]


async def test_canceled_job_is_passed_over() -> None:
    jobs = Jobs()
    for name in ("first", "second", "third"):
        await jobs.start(name, 1)
    await jobs.cancel("second")
    await jobs.end("first")
    await jobs.end("third")
    assert jobs.began == ["first", "third"]


async def test_lock_that_was_given_to_a_canceled_job_goes_to_the_next() -> None:
    turns = ShortestFirstLock()
    began = asyncio.Event()

    async def hold() -> None:
        async with turns.hold(1):
            began.set()

    async with turns.hold(1):
        canceled, last = asyncio.create_task(hold()), asyncio.create_task(hold())
        await asyncio.sleep(0)
    canceled.cancel()  # it has the lock, and has not run yet
    with pytest.raises(asyncio.CancelledError):
        await canceled
    await last
    assert began.is_set()


async def test_lock_is_free_after_its_last_job() -> None:
    jobs = Jobs()
    await jobs.start("first", 1)
    await jobs.end("first")
    await jobs.start("second", 1)
    assert jobs.began == ["first", "second"]
    jobs.let_all_end()
    await jobs.end("second")
