"""The encoding of members, outcomes and replies in the store and on its channels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from shared.errors import Fault
from shared.ids import BatchId
from shared.names import Output
from shared.store.schema import MEMBER, OWNER_BYTES

MAX_PUBLISHED_BYTES: Final = 256 * 1024
"""A longer outcome is read from the store: Redis disconnects a subscriber with 8 MB pending for a minute."""

NO_OWNER: Final = bytes(OWNER_BYTES)


class AlienMessage(Exception):
    """A message that Sepal did not write, in one of its queues or channels; the text says where it differs."""


class Member(msgspec.Struct, frozen=True):
    """One prediction's entry in a batch."""

    secret: bytes
    """13 bytes that the prediction's id must contain."""
    n_rows: int
    n_bytes: int = 0
    """Length of its rows in the batch."""
    deadline_us: int = 0
    """By the store's clock, since 1970: an outcome committed later is not returned; 0 for no deadline."""
    owner: bytes = NO_OWNER
    """The client, once clients have keys; `NO_OWNER` until then."""
    outputs: tuple[Output, ...] = ()
    """The outputs that it asks for; empty for the model's default. Recorded in its origin."""


def pack_members(members: Iterable[Member]) -> bytes:
    """Encode members in the order of their indices, `MEMBER_BYTES` each."""
    pack = MEMBER.pack
    return b"".join(
        [pack(member.secret, member.n_rows, member.n_bytes, member.deadline_us, member.owner) for member in members]
    )


def unpack_members(raw: bytes) -> list[Member]:
    """Decode members."""
    return [Member(*fields) for fields in MEMBER.iter_unpack(raw)]


def split_rows(rows: bytes, members: Sequence[Member]) -> Iterator[bytes]:
    """Yield each member's part of a batch's rows."""
    start = 0
    for member in members:
        yield rows[start : start + member.n_bytes]
        start += member.n_bytes


class Origin(msgspec.Struct, array_like=True, frozen=True):
    """The request that a member came with: what its headers and its body say beyond the rows."""

    request_id: str = ""
    """The correlation id, for the log lines of a pool process."""
    traceparent: str = ""
    """The span that waits for the member, in the format of W3C Trace Context; empty if it is not sampled."""
    outputs: tuple[Output, ...] = ()
    """The outputs that it asks for; empty for the model's default."""


def pack_origins(origins: Mapping[int, Origin]) -> bytes:
    """Encode the origins of a batch's members by index; empty if there are none."""
    return msgspec.msgpack.encode(origins) if origins else b""


def unpack_origins(raw: bytes | None) -> dict[int, Origin]:
    """Decode origins."""
    return _origins_decoder.decode(raw) if raw else {}


class Answer(msgspec.Struct, array_like=True, tag=True, frozen=True):
    """One member's result."""

    outputs: dict[str, bytes]
    """By name, in the order in which they are written: JSON without the outer brackets, so that answers of several
    batches can be joined."""


class Failure(msgspec.Struct, array_like=True, tag=True, frozen=True):
    """Why one member has no result."""

    code: str
    detail: str
    faults: tuple[Fault, ...] = ()
    """Of a bulk prediction: the first rows that cannot be scored."""

    def encode(self) -> bytes:
        """Encode as MessagePack."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Failure":
        """Decode from MessagePack."""
        return _failure_decoder.decode(raw)


class Provenance(msgspec.Struct, array_like=True, frozen=True):
    """What ran a batch."""

    attempt: int
    """The number of the attempt, from 1."""
    n_rows: int
    """In the batch."""
    worker: str
    versions: dict[str, str]
    """Of Python, and of the distributions that the model card names, as installed there."""


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What a worker commits for a batch: an answer or failure for each member, in the order of their indices."""

    queue_us: int
    """Microseconds from the submission to the claim that was committed."""
    predict_us: int
    """Microseconds inside the pipeline."""
    members: list[Answer | Failure]
    provenance: Provenance | None = None
    """None if no attempt had an outcome."""

    def encode(self) -> bytes:
        """Encode as MessagePack."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Outcome":
        """Decode from MessagePack."""
        return _decoder.decode(raw)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Outcome)
_failure_decoder = msgspec.msgpack.Decoder(Failure)
_origins_decoder = msgspec.msgpack.Decoder(dict[int, Origin])


class Reply(NamedTuple):
    """A reply, as published on a reply channel."""

    batch_id: BatchId
    """The batch or parent that the gateway waits for."""
    finished_us: int
    """When the outcome was committed, by the store's clock, since 1970."""
    outcome: Outcome | None
    """None if it must be read from the store, because it is too long or there are several."""


def parse_reply(message: bytes) -> Reply:
    """Parse a reply as the scripts publish it: id, time and, unless it must be read from the store, the outcome.

    Raises:
        AlienMessage: the message is not a reply.
    """
    try:
        batch_id, finished_us, outcome = message.split(b" ", 2)
        return Reply(BatchId(batch_id.decode()), int(finished_us), Outcome.decode(outcome) if outcome else None)
    except (ValueError, msgspec.MsgspecError) as error:
        raise AlienMessage(str(error)) from error
