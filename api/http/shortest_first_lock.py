"""A lock that goes to the shortest waiting job next."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class ShortestFirstLock:
    """A lock for jobs of known length: a short job waits for at most one long job, however many are waiting."""

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def hold(self, length: int) -> AsyncIterator[None]:
        """Hold the lock; jobs of the same length get it in order of arrival."""
        await self._acquire(length)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, length: int) -> None:
        if not self._is_held:
            self._is_held = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (length, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it has the lock, but was canceled before it could run
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._is_held = False
