"""How rows, members and outcomes are written in the store.

A **batch record** (`sepal:batch:{batch id}`) holds the rows of one or more members, a member being one prediction's
share of the batch. A prediction larger than a batch also has a **head record** (`sepal:batch:{stem}`), which counts
its batches' rows and collects their outcomes, so that polling it costs the same however many batches it has.
"""

import struct
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

import msgspec

from shared.ids import BatchId

BACKLOG_KEY: Final = "sepal:backlog"
"""Hash of two counters, `accepted` and `final`, in rows; the backlog is their difference."""
MODEL_KEY: Final = "sepal:model"
"""The card that was announced last, as JSON."""
WORKERS_KEY: Final = "sepal:workers"
"""Hash from a worker's name to `until_ms pool_processes`."""
REPLY_CHANNEL_PREFIX: Final = "sepal:reply:"
"""Each gateway process listens on a channel of its own, named so."""

MAX_PUBLISHED_BYTES: Final = 256 * 1024
"""A longer outcome is read from the store: Redis cuts a subscriber off that has 8 MB waiting for a minute."""

_MEMBER: Final = struct.Struct("<13sI")


def batch_key(batch_id: BatchId) -> str:
    """The store's key of a batch or head record."""
    return f"sepal:batch:{batch_id}"


def outcome_field(number: int) -> str:
    """The field of a head record that holds the outcome of its batch `number`."""
    return f"outcome:{number}"


def canceled_field(place: int) -> str:
    """The field of a batch record that says the member at `place` was canceled."""
    return f"canceled:{place}"


def pack_rows(rows: Iterable[Sequence[float]]) -> bytes:
    """Write rows as one float64 matrix, row-major, in this machine's byte order (little-endian on all we support)."""
    return array("d", chain.from_iterable(rows)).tobytes()


class Member(msgspec.Struct, frozen=True):
    """One prediction's share of a batch."""

    secret: bytes
    """13 bytes that the prediction's id must repeat."""
    n_rows: int


def pack_members(members: Sequence[Member]) -> bytes:
    """Write members in the order of their places, 17 bytes each."""
    return b"".join(_MEMBER.pack(member.secret, member.n_rows) for member in members)


def unpack_members(raw: bytes) -> list[Member]:
    """Read members back."""
    return [Member(*fields) for fields in _MEMBER.iter_unpack(raw)]


class Answer(msgspec.Struct, array_like=True, tag=True, frozen=True):
    """One member's result as JSON text without the outer brackets, so that answers of several batches can be joined."""

    prediction: bytes
    log_proba: bytes | None


class Failure(msgspec.Struct, array_like=True, tag=True, frozen=True):
    """Why one member has no result."""

    code: str
    detail: str


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What a worker commits for a batch: one answer or failure a member, in the order of their places."""

    queue_us: int
    """Microseconds from the submission to the claim that was committed."""
    predict_us: int
    """Microseconds inside the pipeline."""
    members: list[Answer | Failure]

    def encode(self) -> bytes:
        """Write as MessagePack."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Outcome":
        """Read MessagePack back."""
        return _decoder.decode(raw)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Outcome)


def write_announcement(batch_id: BatchId, outcome: bytes) -> bytes:
    """Write what is published on a reply channel: the id, and the outcome where it is short enough to travel."""
    return batch_id.encode() + b" " + outcome


def read_announcement(message: bytes) -> tuple[BatchId, Outcome | None]:
    """Read a message of a reply channel; without an outcome it is a hint to look into the store."""
    batch_id, _, outcome = message.partition(b" ")
    return BatchId(batch_id.decode()), Outcome.decode(outcome) if outcome else None
