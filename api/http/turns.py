"""A lock that the shortest of the waiting jobs gets next."""

import asyncio
import heapq
from itertools import count


class ShortestFirst:
    """A lock for jobs of known length: a short one never waits for more than the job that has the lock."""

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    async def acquire(self, length: int) -> None:
        """Wait for the lock; jobs of the same length get it in order of arrival."""
        if not self._is_held:
            self._is_held = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (length, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it has just got the lock
                self.release()
            raise

    def release(self) -> None:
        """Give the lock to the next job."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._is_held = False
