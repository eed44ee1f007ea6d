"""How rows, members and outcomes are written in the store.

A **batch record** (`sepal:batch:{batch id}`) holds the rows of one or more members, a member being one prediction's
share of the batch. A prediction larger than a batch also has a **head record** (`sepal:batch:{stem}`), which counts
its batches' rows and collects their outcomes, so that polling it costs the same however many batches it has. A batch
whose attempts are used up becomes such a head over one batch for each of its members.
"""

import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from shared.ids import BatchId
from shared.names import Queue

BACKLOG_KEY: Final = "sepal:backlog"
"""Hash of two counters for each queue, `accepted:{queue}` and `final:{queue}`, in rows: the backlog between them."""
BATCH_PREFIX: Final = "sepal:batch:"
"""Of batch and head records."""
QUEUED_PREFIX: Final = "sepal:queued:"
"""For each queue, a sorted set of the batches that no worker has claimed, by the order of their acceptance."""
LEASES_PREFIX: Final = "sepal:leases:"
"""For each worker, a hash from the batches it has claimed to its pool processes."""
UNACKED_PREFIX: Final = "sepal:unacked:"
"""For each worker, kombu's hash of the messages that it has taken and not acknowledged."""
UNACKED_INDEX_PREFIX: Final = "sepal:unacked-index:"
"""For each worker, kombu's own index of that hash."""
EXHAUSTED_KEY: Final = "sepal:exhausted"
"""Set of the batches whose attempts are used up, until a gateway has split or buried them."""
RECONCILER_KEY: Final = "sepal:reconciler"
"""Hash of when the last look was taken, and what it saw of each queue."""
DEAD_LETTERS_KEY: Final = "sepal:dead-letters"
"""Sorted set of the dead letters, by the second of their burial."""
DEAD_LETTER_PREFIX: Final = "sepal:dead-letter:"
"""Of each dead letter."""
ALIEN_MESSAGES_KEY: Final = "sepal:alien-messages"
"""List of the last messages that are none of Sepal's, as JSON, the newest first."""
IDEMPOTENCY_PREFIX: Final = "sepal:idempotency:"
"""Of each idempotency key; it holds a fingerprint of the request and, once there is one, its prediction's id."""
MODEL_KEY: Final = "sepal:model"
"""The card that was announced last, as JSON."""
WORKERS_KEY: Final = "sepal:workers"
"""Hash from a worker's name to `until_ms pool_processes`; its leases last as long as that is to be believed."""
ANNOUNCEMENT_SECONDS: Final = 5
"""For which an announcement is believed: four beats may be lost before a worker is thought dead."""
REPLY_CHANNEL_PREFIX: Final = "sepal:reply:"
"""Each gateway process listens on a channel of its own, named so."""

MAX_PUBLISHED_BYTES: Final = 256 * 1024
"""A longer outcome is read from the store: Redis cuts a subscriber off that has 8 MB waiting for a minute."""

_MEMBER: Final = struct.Struct("<13sIQ")
MEMBER_BYTES: Final = _MEMBER.size
"""Of one packed member."""


def counter_fields(counter: str) -> list[str]:
    """The fields of the backlog that hold one counter, of each queue in their order."""
    return [f"{counter}:{queue}" for queue in Queue]


def batch_key(batch_id: BatchId) -> str:
    """The store's key of a batch or head record."""
    return BATCH_PREFIX + batch_id


def outcome_field(number: int) -> str:
    """The field of a head record that holds the outcome of its batch `number`."""
    return f"outcome:{number}"


def finished_field(number: int) -> str:
    """The field of a split batch's record that says when its batch `number` ended."""
    return f"finished:{number}"


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
    deadline_us: int = 0
    """By the store's clock, since 1970: an outcome that is not committed until then is not given; 0 for none."""


def pack_members(members: Sequence[Member]) -> bytes:
    """Write members in the order of their places, `MEMBER_BYTES` each."""
    return b"".join(_MEMBER.pack(member.secret, member.n_rows, member.deadline_us) for member in members)


def unpack_members(raw: bytes) -> list[Member]:
    """Read members back."""
    return [Member(*fields) for fields in _MEMBER.iter_unpack(raw)]


class Origin(msgspec.Struct, array_like=True, frozen=True):
    """Which request a member came with, as far as that request said."""

    request_id: str = ""
    """The correlation id: what a pool process logs of the member carries it."""
    traceparent: str = ""
    """The span that waits for the member, as W3C Trace Context writes it; empty where it is not sampled."""


def pack_origins(origins: Mapping[int, Origin]) -> bytes:
    """Write the origins of a batch's members by their places; nothing where there is none."""
    return msgspec.msgpack.encode(origins) if origins else b""


def unpack_origins(raw: bytes | None) -> dict[int, Origin]:
    """Read origins back."""
    return _origins_decoder.decode(raw) if raw else {}


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
_origins_decoder = msgspec.msgpack.Decoder(dict[int, Origin])


class Announcement(NamedTuple):
    """What is published on a reply channel."""

    batch_id: BatchId
    """That the gateway waits for."""
    finished_us: int
    """When it was committed, by the store's clock, since 1970."""
    outcome: Outcome | None
    """None where it is too long to travel, or there is more than one: a hint to look into the store."""


def read_announcement(message: bytes) -> Announcement:
    """Read a message of a reply channel, as the scripts write it: id, time, and the outcome where it travels."""
    batch_id, finished_us, outcome = message.split(b" ", 2)
    return Announcement(BatchId(batch_id.decode()), int(finished_us), Outcome.decode(outcome) if outcome else None)
