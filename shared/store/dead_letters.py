"""Dead letters: exhausted batches, kept with their rows and lost attempts for operators."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from shared.errors import DeadLetterNotFound
from shared.names import Output
from shared.rows import EncodedRows, Encoding
from shared.store.records import Origin, unpack_origins
from shared.store.scripts import Script
from shared.store.transport import AsyncTransport

_LIST: Final = Script.load("list_dead_letters")
_GET: Final = Script.load("get_dead_letter")
_DISCARD: Final = Script.load("discard_dead_letter")


class DeadLetterEntry(NamedTuple):
    """An entry in the list of dead letters."""

    id: str
    """Id of the batch, which has one prediction or a part of a spanning one."""
    buried: int
    """When it became a dead letter, in seconds since 1970."""


class DeadLetter(NamedTuple):
    """A dead letter with its rows and lost attempts."""

    prediction: str
    """The prediction's id."""
    rows: EncodedRows
    model: bytes
    """Reference of the model that the rows were accepted for, as JSON."""
    attempts: bytes
    """How each attempt ended, as a JSON array of objects."""
    created_us: int
    """When the rows were accepted, in microseconds since 1970, by the store's clock."""
    buried: int
    """When it became a dead letter, in seconds since 1970."""
    outputs: tuple[Output, ...]
    """The requested outputs; empty for the model's default."""


class DeadLetters:
    """Lists, reads and discards dead letters."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list_entries(self, offset: int, limit: int) -> Sequence[DeadLetterEntry]:
        """List dead letters, the latest first.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        entries = await self._transport.run(_LIST, [offset, limit])
        pairs = zip(entries[::2], entries[1::2], strict=True)
        return [DeadLetterEntry(batch_id.decode(), int(buried)) for batch_id, buried in pairs]

    async def get(self, batch_id: str) -> DeadLetter:
        """Read a dead letter.

        Raises:
            DeadLetterNotFound: no dead letter has this id.
            BrokerUnavailable: Redis timed out.
            RecordIncompatible: another version of Sepal wrote it.
        """
        reply = await self._transport.run(_GET, [batch_id])
        if reply is None:
            raise DeadLetterNotFound
        prediction, encoding, content, n_rows, model, lost, created_us, buried, origins = reply
        rows = EncodedRows(content, int(n_rows), Encoding(encoding.decode()))
        outputs = unpack_origins(origins).get(0, Origin()).outputs
        return DeadLetter(prediction.decode(), rows, model, b"[" + lost + b"]", int(created_us), int(buried), outputs)

    async def discard(self, batch_id: str) -> None:
        """Delete a dead letter.

        Raises:
            DeadLetterNotFound: no dead letter has this id.
            BrokerUnavailable: Redis timed out.
        """
        if not await self._transport.run(_DISCARD, [batch_id]):
            raise DeadLetterNotFound
