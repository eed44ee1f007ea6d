"""How members, outcomes and announcements are written in the store and on its channels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from shared.ids import BatchId
from shared.store.schema import MEMBER, OWNER_BYTES

MAX_PUBLISHED_BYTES: Final = 256 * 1024
"""A longer outcome is read from the store: Redis cuts a subscriber off that has 8 MB waiting for a minute."""

NO_OWNER: Final = bytes(OWNER_BYTES)


class AlienMessage(Exception):
    """Something is in a queue or on a channel of Sepal's that no Sepal writes; says where it differs."""


class Member(msgspec.Struct, frozen=True):
    """One prediction's share of a batch."""

    secret: bytes
    """13 bytes that the prediction's id must repeat."""
    n_rows: int
    n_bytes: int = 0
    """Of its rows: where its share of the batch's is cut."""
    deadline_us: int = 0
    """By the store's clock, since 1970: an outcome that is not committed until then is not given; 0 for none."""
    owner: bytes = NO_OWNER
    """Whoever made the prediction; nobody, as long as there are no keys."""


def pack_members(members: Iterable[Member]) -> bytes:
    """Write members in the order of their indices, `MEMBER_BYTES` each."""
    pack = MEMBER.pack
    return b"".join(
        [pack(member.secret, member.n_rows, member.n_bytes, member.deadline_us, member.owner) for member in members]
    )


def unpack_members(raw: bytes) -> list[Member]:
    """Read members back."""
    return [Member(*fields) for fields in MEMBER.iter_unpack(raw)]


def split_rows(rows: bytes, members: Sequence[Member]) -> Iterator[bytes]:
    """Give each member its share of a batch's rows."""
    start = 0
    for member in members:
        yield rows[start : start + member.n_bytes]
        start += member.n_bytes


class Origin(msgspec.Struct, array_like=True, frozen=True):
    """Which request a member came with, as far as that request said."""

    request_id: str = ""
    """The correlation id: what a pool process logs of the member carries it."""
    traceparent: str = ""
    """The span that waits for the member, as W3C Trace Context writes it; empty where it is not sampled."""


def pack_origins(origins: Mapping[int, Origin]) -> bytes:
    """Write the origins of a batch's members by their indices; nothing where there is none."""
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
    """What a worker commits for a batch: one answer or failure a member, in the order of their indices."""

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
    """Read a message of a reply channel, as the scripts write it: id, time, and the outcome where it travels.

    Raises:
        AlienMessage: it is none.
    """
    try:
        batch_id, finished_us, outcome = message.split(b" ", 2)
        return Announcement(BatchId(batch_id.decode()), int(finished_us), Outcome.decode(outcome) if outcome else None)
    except (ValueError, msgspec.MsgspecError) as error:
        raise AlienMessage(str(error)) from error
