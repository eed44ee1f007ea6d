"""The encoding of members, outcomes and replies in the store and on reply channels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from shared.errors import Fault
from shared.ids import BatchId
from shared.names import Output
from shared.store.schema import MEMBER_STRUCT, OWNER_BYTES

MAX_PUBLISHED_BYTES: Final = 256 * 1024
"""The maximum size of an outcome in a reply. Redis disconnects a subscriber with 8 MB pending for a minute."""

NO_OWNER: Final = bytes(OWNER_BYTES)


class AlienMessage(Exception):
    """A message in a queue or channel that Sepal did not write."""


class Member(msgspec.Struct, frozen=True):
    """One prediction's entry in a batch."""

    secret: bytes
    """The secret in the prediction's id, 13 bytes."""
    n_rows: int
    n_bytes: int = 0
    """Length of its encoded rows, in bytes."""
    deadline_us: int = 0
    """Microseconds since 1970, by the store's clock: an outcome committed later is not returned; 0 for none."""
    owner: bytes = NO_OWNER
    """The owner of a bulk prediction; `NO_OWNER` in other batches."""
    outputs: tuple[Output, ...] = ()
    """The requested outputs, which its origin contains; empty for the model's default."""


def pack_members(members: Iterable[Member]) -> bytes:
    """Encode members in the order of their indices, `MEMBER_BYTES` each."""
    pack = MEMBER_STRUCT.pack
    return b"".join(
        [pack(member.secret, member.n_rows, member.n_bytes, member.deadline_us, member.owner) for member in members]
    )


def unpack_members(packed_members: bytes) -> list[Member]:
    """Decode members."""
    return [Member(*fields) for fields in MEMBER_STRUCT.iter_unpack(packed_members)]


def split_rows(rows: bytes, members: Sequence[Member]) -> Iterator[bytes]:
    """Yield the encoded rows of each member of a batch."""
    start = 0
    for member in members:
        yield rows[start : start + member.n_bytes]
        start += member.n_bytes


class Origin(msgspec.Struct, array_like=True, frozen=True):
    """The request of a member without the rows: correlation id, trace and outputs."""

    request_id: str = ""
    """The correlation id, for the log lines of a pool process."""
    traceparent: str = ""
    """The parent span, in the format of W3C Trace Context; empty if the trace is not sampled."""
    outputs: tuple[Output, ...] = ()
    """The requested outputs; empty for the model's default."""


def pack_origins(origins: Mapping[int, Origin]) -> bytes:
    """Encode the origins of a batch's members by index; empty if there are none."""
    return msgspec.msgpack.encode(origins) if origins else b""


def unpack_origins(packed_origins: bytes | None) -> dict[int, Origin]:
    """Decode origins."""
    return _origins_decoder.decode(packed_origins) if packed_origins else {}


class Answer(msgspec.Struct, array_like=True, tag=True, frozen=True):
    """One member's result."""

    outputs: dict[str, bytes]
    """The items of each output, by name and in the order of the response: JSON without the outer brackets, so that the
    answers of several batches can be joined."""


class Failure(msgspec.Struct, array_like=True, tag=True, frozen=True):
    """Why one member has no result."""

    code: str
    detail: str
    faults: tuple[Fault, ...] = ()
    """For a bulk prediction, the first bad rows."""

    def encode(self) -> bytes:
        """Encode as MessagePack."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Failure":
        """Decode from MessagePack."""
        return _failure_decoder.decode(raw)


class Provenance(msgspec.Struct, array_like=True, frozen=True):
    """The attempt that produced an outcome, and its environment."""

    attempt: int
    """The number of the attempt, from 1."""
    n_rows: int
    """Number of rows in the batch."""
    worker: str
    versions: dict[str, str]
    """The versions in the worker of Python and of the distributions that the model card names."""


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """The outcome of a batch: an answer or failure for each member, in the order of their indices."""

    queue_us: int
    """Microseconds from the submission to the claim that was committed."""
    predict_us: int
    """Microseconds in the pipeline."""
    members: list[Answer | Failure]
    provenance: Provenance | None = None
    """None if no attempt produced an outcome."""

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
    """A reply on a reply channel."""

    batch_id: BatchId
    """The batch or parent that the gateway waits for."""
    finished_us: int
    """When the outcome was committed, in microseconds since 1970, by the store's clock."""
    outcome: Outcome | None
    """None if it must be read from the store, because it is too long or there are several outcomes."""


def parse_reply(message: bytes) -> Reply:
    """Parse a reply of a script: the id, the time and, unless it must be read from the store, the outcome.

    Raises:
        AlienMessage: the message is not a reply.
    """
    try:
        batch_id, finished_us, outcome = message.split(b" ", 2)
        return Reply(BatchId(batch_id.decode()), int(finished_us), Outcome.decode(outcome) if outcome else None)
    except (ValueError, msgspec.MsgspecError) as error:
        raise AlienMessage(str(error)) from error
