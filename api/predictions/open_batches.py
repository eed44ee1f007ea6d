"""Open batches, in which predictions gather until the batch leaves; small and large predictions have separate batches.

Predictions join in order of arrival. Batches of small and of large predictions leave alternately. So a single row waits
for at most one batch of large predictions, however many arrived before it, and neither kind starves.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from api.predictions.pending_batches import PendingBatch, Waiter
from shared.ids import SECRET_BYTES, BatchId, PredictionId, new_batch_id
from shared.rows import EncodedRows, Encoding
from shared.store.clock import NEVER_US
from shared.store.records import Member, Origin

MAX_BATCH_ROWS: Final = 1024
"""Maximum number of rows in a batch; a larger prediction spans several batches and goes to the bulk queue.

A batch of this size takes 2.5 ms, which is 2.5 µs a row. A larger batch costs hardly less a row, and delays other
clients longer (docs/benchmarks/growth-results.md).
"""
MAX_BATCH_BYTES: Final = 4 * 2**20
"""Maximum size of a batch's rows, except a single larger row; without this limit, 1,024 texts could have a gigabyte."""

_SECRETS_PER_DRAW: Final = 16
_LARGE_ROWS: Final = MAX_BATCH_ROWS // 8  # a larger prediction leaves little room for others in its batch


@dataclass(slots=True, eq=False)
class OpenBatch:
    """Predictions that are recorded together, and their waiters."""

    id: BatchId
    pending: PendingBatch
    encoding: Encoding = Encoding.MATRIX
    contents: list[bytes] = field(default_factory=list)
    """The encoded rows of each member."""
    members: list[Member] = field(default_factory=list)
    """In the order of their indices."""
    idempotency: dict[str, str] = field(default_factory=dict)
    """The idempotency keys of its predictions: the key's name in the store, and the value to write."""
    latest_us: int = NEVER_US
    """By the store's clock; after this time the store refuses the batch."""
    origins: dict[int, Origin] = field(default_factory=dict)
    """By member index; only of members that have one."""
    n_rows: int = 0
    n_bytes: int = 0
    is_urgent: bool = False
    """Whether a client waits for the batch to be recorded, because it needs an id before the result."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the batch has been recorded, or when recording failed with `error`."""
    error: Exception | None = None
    _random: bytes = b""

    def can_add(self, rows: EncodedRows, model: bytes) -> bool:
        """Return whether these rows can join the batch."""
        fits = self.n_rows + rows.n_rows <= MAX_BATCH_ROWS and self.n_bytes + len(rows.content) <= MAX_BATCH_BYTES
        return fits and self.pending.model == model and self.encoding is rows.encoding

    def join(self, rows: EncodedRows, deadline_us: int = 0, origin: Origin | None = None) -> Waiter:
        """Add one prediction."""
        if origin is not None:
            self.origins[len(self.contents)] = origin
        prediction_id = PredictionId(self.id, len(self.contents), self._new_secret())
        self.contents.append(rows.content)
        self.members.append(Member(prediction_id.secret, rows.n_rows, len(rows.content), deadline_us))
        self.n_rows += rows.n_rows
        self.n_bytes += len(rows.content)
        return self.pending.add(prediction_id, rows.n_rows, deadline_us)

    @property
    def rows(self) -> EncodedRows:
        """The rows of all members, one after the other."""
        return EncodedRows(b"".join(self.contents), self.n_rows, self.encoding)

    def _new_secret(self) -> bytes:
        if not self._random:  # one system call draws the secrets of many members
            self._random = secrets.token_bytes(_SECRETS_PER_DRAW * SECRET_BYTES)
        secret, self._random = self._random[:SECRET_BYTES], self._random[SECRET_BYTES:]
        return secret

    async def wait_until_recorded(self) -> None:
        """Wait until the batch has been recorded.

        Raises:
            BacklogFull, BrokerUnavailable: the batch was not accepted.
        """
        await self.settled.wait()
        if self.error is not None:
            raise self.error

    def settle(self, error: Exception | None) -> None:
        """Mark the batch as recorded or, with an error, as failed; the error is raised in all waiting requests."""
        self.error = error
        self.settled.set()
        if error is not None:
            self.pending.fail(error)


class OpenBatches:
    """The open batches of a gateway process."""

    def __init__(self) -> None:
        self._small: deque[OpenBatch] = deque()
        self._large: deque[OpenBatch] = deque()
        self._turns = deque((self._small, self._large))

    def __bool__(self) -> bool:
        return any(self._turns)

    def __iter__(self) -> Iterator[OpenBatch]:
        return chain(self._small, self._large)

    def find_or_open(self, rows: EncodedRows, model: bytes) -> OpenBatch:
        """Return the batch that a prediction joins, or open one; rows for different models never share a batch."""
        batches = self._large if rows.n_rows > _LARGE_ROWS else self._small
        if batches and batches[-1].can_add(rows, model):
            return batches[-1]
        batch_id = new_batch_id()
        batches.append(OpenBatch(batch_id, PendingBatch(batch_id, model), rows.encoding))
        return batches[-1]

    def pop_next(self) -> OpenBatch:
        """Remove and return the oldest batch of the kind whose turn it is; at least one batch must be open."""
        if self._turns[0]:
            self._turns.rotate()
            return self._turns[-1].popleft()
        return self._turns[-1].popleft()

    def pop_urgent(self) -> OpenBatch | None:
        """Remove and return an urgent batch; None if there is none."""
        for batches in self._turns:
            for batch in batches:
                if batch.is_urgent:
                    batches.remove(batch)
                    return batch
        return None
