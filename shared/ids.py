"""Ids of batches and predictions. A prediction id cannot be guessed, and contains its creation time and its batch id.

A batch id is 15 bytes: the creation time (48 bits, milliseconds since 1970, big-endian) and 72 random bits.
A prediction id is the batch id followed by the prediction's index in the batch (16 bits) and a secret of 104 random
bits, so a client cannot derive the ids of other predictions in the batch. Both are written in base64url: 20 and 40
characters, and a prediction id starts with its batch id.

A prediction that spans several batches has the index `SPANNING`, a bulk prediction the index `STORED`; the batches of
both have the ids `{batch id}.{index}`.
"""

import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NewType, Self

import msgspec

from shared.errors import PredictionNotFound
from shared.names import Queue

BatchId = NewType("BatchId", str)

SPANNING: Final = 0xFFFF
"""The index of a prediction that spans several batches."""
STORED: Final = 0xFFFE
"""The index of a bulk prediction, whose rows are in the object store."""

_TIME_BYTES: Final = 6
_BATCH_BYTES: Final = 15
SECRET_BYTES: Final = 13
"""Length of the secret in a prediction id, in bytes."""
_TEXT_LENGTH: Final = 40
_BATCH_TEXT_LENGTH: Final = 20


def new_batch_id() -> BatchId:
    """Generate a batch id with the current time."""
    created_ms = time.time_ns() // 1_000_000
    raw = created_ms.to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_BATCH_BYTES - _TIME_BYTES)
    return BatchId(urlsafe_b64encode(raw).decode())


def child_id(parent: BatchId, index: int) -> BatchId:
    """Return the id of a child: a batch of a spanning prediction, or of a batch that was split."""
    return BatchId(f"{parent}.{index}")


def parse_child_id(batch_id: BatchId) -> tuple[BatchId, int] | None:
    """Return the parent and the index of a child id; None for the id of a batch without a parent."""
    parent, dot, index = batch_id.partition(".")
    return (BatchId(parent), int(index)) if dot else None


class PredictionId(msgspec.Struct, frozen=True):
    """The parts of a prediction id."""

    batch_id: BatchId
    index: int
    secret: bytes

    @classmethod
    def new(cls, batch_id: BatchId, index: int) -> Self:
        """Generate the id of the prediction at `index` in a batch."""
        return cls(batch_id, index, secrets.token_bytes(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an id.

        Raises:
            PredictionNotFound: the string is not a valid id.
        """
        try:
            raw = urlsafe_b64decode(text.encode("ascii"))
        except ValueError as error:
            raise PredictionNotFound from error
        # The decoder skips characters outside its alphabet: accept only the canonical encoding.
        if len(text) != _TEXT_LENGTH or urlsafe_b64encode(raw).decode() != text:
            raise PredictionNotFound
        index = int.from_bytes(raw[_BATCH_BYTES : _BATCH_BYTES + 2], "big")
        return cls(BatchId(text[:_BATCH_TEXT_LENGTH]), index, raw[_BATCH_BYTES + 2 :])

    def __str__(self) -> str:
        return self.batch_id + urlsafe_b64encode(self.index.to_bytes(2, "big") + self.secret).decode()

    @property
    def spans_batches(self) -> bool:
        """Whether the prediction's rows are in several batches."""
        return self.index == SPANNING

    @property
    def is_stored(self) -> bool:
        """Whether it is a bulk prediction, whose rows are in the object store."""
        return self.index == STORED

    @property
    def queue(self) -> Queue:
        """The queue of its batches."""
        return Queue.BULK if self.index in (SPANNING, STORED) else Queue.INTERACTIVE

    @property
    def age_seconds(self) -> float:
        """Seconds since the id was generated, by the clock of this process; negative if the clocks differ."""
        created_ms = int.from_bytes(urlsafe_b64decode(self.batch_id)[:_TIME_BYTES], "big")
        return time.time() - created_ms / 1000
