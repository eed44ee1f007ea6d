"""Decides when a batch leaves: at once while a worker is free for it, and when one becomes free otherwise.

There is no timer. While as many of this gateway's interactive batches are under way as the workers can take, what
arrives gathers; the moment one of them is answered, everything that has gathered leaves together. So nobody pays for
batching at rest, and load makes each prediction cheaper.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from api.lanes import Batch, Lanes
from api.replies import Waiter
from shared.errors import BrokerUnavailable
from shared.ids import BatchId
from shared.rows import EncodedRows
from shared.store.records import Origin

_PATIENCE_SECONDS: Final = 1.0
"""A batch that has been away for longer holds nobody back: its worker may be gone, or be slower than most."""


class Batcher:
    """The open batches, and those under way."""

    def __init__(self, send: Callable[[Batch], Awaitable[None]], allowance: Callable[[], int]) -> None:
        self._send = send
        self._allowance = allowance
        self._lanes = Lanes()
        self._under_way: dict[BatchId, asyncio.TimerHandle] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._flush_is_due = False

    @property
    def gathering(self) -> Iterable[Batch]:
        """What has not left."""
        return self._lanes

    def join(
        self, rows: EncodedRows, model: bytes, deadline_us: int = 0, origin: Origin | None = None
    ) -> tuple[Batch, Waiter]:
        """Put a prediction into a batch, which leaves as soon as it may."""
        batch = self._lanes.open_batch(rows, model)
        waiter = batch.join(rows, deadline_us, origin)
        self._flush_soon()
        return batch, waiter

    async def hurry(self, batch: Batch) -> None:
        """Have the batch recorded, whether or not a worker is free; those in a hurry share round trips to the store.

        Raises:
            BacklogFull, BrokerUnavailable: it was not accepted.
        """
        batch.is_urgent = True
        self._flush_soon()
        await batch.recorded()

    def release(self, batch_id: BatchId) -> None:
        """Note that a batch is no longer under way: the next may leave."""
        patience = self._under_way.pop(batch_id, None)
        if patience is not None:
            patience.cancel()
            self._flush()

    def refuse_all(self, error: Exception) -> None:
        """Fail what has not left."""
        while self._lanes:
            _settle(self._lanes.next_batch(), error)

    def stop_waiting(self) -> None:
        """End the waits for what has not left."""
        for batch in self._lanes:
            batch.expected.stop_waiting()

    def _flush_soon(self) -> None:
        # After the requests that this turn of the event loop has yet to read: they share the batch.
        if not self._flush_is_due:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        while self._lanes and len(self._under_way) < self._allowance():
            batch = self._lanes.next_batch()
            patience = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self.release, batch.id)
            self._under_way[batch.id] = patience
            self._leave(batch)
        # These take nobody's turn: they leave besides, and are not counted.
        while not self._sending and (urgent := self._lanes.urgent_batch()):
            self._leave(urgent)

    def _leave(self, batch: Batch) -> None:
        now_ns = time.monotonic_ns()
        for waiter in batch.expected.waiters:
            waiter.gathered_us = (now_ns - waiter.joined_ns) // 1000
        task = asyncio.get_running_loop().create_task(self._record(batch))
        self._sending.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._flush()

    async def _record(self, batch: Batch) -> None:
        try:
            await self._send(batch)
        except Exception as error:  # it belongs to the requests that share the batch
            _settle(batch, error)
            if isinstance(error, BrokerUnavailable):
                self.refuse_all(error)  # whoever has waited for a turn would wait for the same answer
            self.release(batch.id)
        else:
            _settle(batch, None)


def _settle(batch: Batch, error: Exception | None) -> None:
    batch.error = error
    batch.settled.set()
    if error is not None:
        batch.expected.fail(error)
