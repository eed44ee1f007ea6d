"""Where predictions gather until their batch may leave: one lane for small ones and one for large ones.

A batch takes predictions of one lane, in the order they came, and the lanes take turns. So a person with a single row
waits for at most one batch of large predictions, however many of those came first, and neither lane starves.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from api.replies import Expected, Waiter
from shared.ids import SECRET_BYTES, BatchId, PredictionId, new_batch_id
from shared.rows import EncodedRows, Encoding
from shared.store.clock import NEVER_US
from shared.store.records import Member, Origin

MAX_BATCH_ROWS: Final = 1024
"""Rows of one batch; a prediction with more is split, and goes to the bulk queue.

A batch of so many takes 2.5 ms, a row of it 2.5 µs; in larger ones a row costs hardly less, and a person waits for
longer behind them (docs/benchmarks/growth-results.md).
"""

_DRAWN_SECRETS: Final = 16
_LARGE_ROWS: Final = MAX_BATCH_ROWS // 8  # a prediction beyond this leaves little room for others in its batch


@dataclass(slots=True, eq=False)
class Batch:
    """Predictions that leave together, and the requests that made them."""

    id: BatchId
    expected: Expected
    encoding: Encoding = Encoding.MATRIX
    contents: list[bytes] = field(default_factory=list)
    """The rows of each waiter, encoded."""
    members: list[Member] = field(default_factory=list)
    """Each prediction's share, in the order of their places."""
    idempotency: dict[str, str] = field(default_factory=dict)
    """From the keys of its predictions, as the store names them, to what those are to hold."""
    latest_us: int = NEVER_US
    """By the store's clock: when it is too late to record it."""
    origins: dict[int, Origin] = field(default_factory=dict)
    """By the waiters' places, of those that have one."""
    n_rows: int = 0
    is_urgent: bool = False
    """Somebody is to be given an id, and so waits for the record and not for the answer."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """It is recorded, or `error` says why not."""
    error: Exception | None = None
    _random: bytes = b""

    def takes(self, rows: EncodedRows, model: bytes) -> bool:
        """Whether these rows may join it."""
        fits = self.n_rows + rows.n_rows <= MAX_BATCH_ROWS
        return fits and self.expected.model == model and self.encoding is rows.encoding

    def join(self, rows: EncodedRows, deadline_us: int = 0, origin: Origin | None = None) -> Waiter:
        """Add one prediction."""
        if origin is not None:
            self.origins[len(self.contents)] = origin
        prediction_id = PredictionId(self.id, len(self.contents), self._new_secret())
        self.contents.append(rows.content)
        self.members.append(Member(prediction_id.secret, rows.n_rows, len(rows.content), deadline_us))
        self.n_rows += rows.n_rows
        return self.expected.add(prediction_id, rows.n_rows, deadline_us)

    @property
    def rows(self) -> EncodedRows:
        """All of them, one after the other."""
        return EncodedRows(b"".join(self.contents), self.n_rows, self.encoding)

    def _new_secret(self) -> bytes:
        if not self._random:  # drawn for many at a time: each draw is a system call
            self._random = secrets.token_bytes(_DRAWN_SECRETS * SECRET_BYTES)
        secret, self._random = self._random[:SECRET_BYTES], self._random[SECRET_BYTES:]
        return secret

    async def recorded(self) -> None:
        """Wait until the store has it.

        Raises:
            BacklogFull, BrokerUnavailable: it was not accepted.
        """
        await self.settled.wait()
        if self.error is not None:
            raise self.error


class Lanes:
    """The batches that have not left yet."""

    def __init__(self) -> None:
        self._small: deque[Batch] = deque()
        self._large: deque[Batch] = deque()
        self._turns = deque((self._small, self._large))

    def __bool__(self) -> bool:
        return any(self._turns)

    def __iter__(self) -> Iterator[Batch]:
        return chain(self._small, self._large)

    def open_batch(self, rows: EncodedRows, model: bytes) -> Batch:
        """Find or make the batch that a prediction joins: rows for different models never share one."""
        lane = self._large if rows.n_rows > _LARGE_ROWS else self._small
        if lane and lane[-1].takes(rows, model):
            return lane[-1]
        batch_id = new_batch_id()
        lane.append(Batch(batch_id, Expected(batch_id, model), rows.encoding))
        return lane[-1]

    def next_batch(self) -> Batch:
        """Take the oldest batch of the lane whose turn it is; there must be one."""
        if self._turns[0]:
            self._turns.rotate()
            return self._turns[-1].popleft()
        return self._turns[-1].popleft()

    def urgent_batch(self) -> Batch | None:
        """Take a batch that cannot wait for its turn."""
        for lane in self._turns:
            for batch in lane:
                if batch.is_urgent:
                    lane.remove(batch)
                    return batch
        return None
