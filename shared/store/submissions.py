"""Submits predictions: records their batches and publishes their messages, in one step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.errors import BacklogFull, BrokerUnavailable
from shared.ids import BatchId
from shared.names import Queue
from shared.rows import EncodedRows
from shared.store.clock import NEVER_US, StoreClock
from shared.store.records import Member, Origin, pack_members, pack_origins
from shared.store.scripts import Script
from shared.store.transport import Argument, AsyncTransport

_SUBMIT: Final = Script.load("submit")
_SUBMIT_SECONDS: Final = 1.8  # after that the response is `broker-unavailable`


class MessageMaker(Protocol):
    """Makes Celery messages."""

    def make_message(self, batch_id: BatchId, queue: Queue, n_rows: int, n_predictions: int) -> str:
        """Write the message for a batch."""


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch to be recorded."""

    id: BatchId
    rows: EncodedRows
    """The rows of all members, concatenated."""
    members: Sequence[Member]
    origins: Mapping[int, Origin] = field(default_factory=dict)
    """The origins of members, by index; not every member has one."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Batches that are accepted together or not at all."""

    queue: Queue
    id: BatchId
    """Id of the record whose id the client gets: the only batch, or the parent of all batches."""
    parents_member: Member | None
    """The member of the parent, a spanning prediction; None if there is no parent."""
    batches: Sequence[NewBatch]
    model: bytes
    """The model's reference, as JSON."""
    reply_channel: str
    idempotency: Mapping[str, str] = field(default_factory=dict)
    """The values of its predictions' idempotency keys, by their names in the store."""
    latest_us: int = NEVER_US
    """Microseconds since 1970, by the store's clock: the store refuses the submission after this time."""

    @property
    def n_predictions(self) -> int:
        """Number of predictions in all batches."""
        return 1 if self.parents_member else sum(len(batch.members) for batch in self.batches)

    @property
    def n_rows(self) -> int:
        """Number of rows in all batches."""
        return sum(batch.rows.n_rows for batch in self.batches)


class Submissions:
    """Submits predictions for one gateway."""

    def __init__(
        self, transport: AsyncTransport, clock: StoreClock, messages: MessageMaker, backlog_limits: Mapping[Queue, int]
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._messages = messages
        self._backlog_limits = backlog_limits

    async def submit(self, submission: Submission) -> None:
        """Record the batches and publish their messages, in one step.

        Raises:
            BacklogFull: the backlog is at its limit; nothing was recorded.
            BrokerUnavailable: Redis timed out, and will refuse the submission if it runs the script later.
        """
        args: list[Argument] = [
            submission.queue.value,
            submission.id,
            self._backlog_limits[submission.queue],
            submission.n_rows,
            pack_members([submission.parents_member]) if submission.parents_member else b"",
            submission.model,
            submission.reply_channel,
            min(self._clock.now_plus(_SUBMIT_SECONDS), submission.latest_us),
            submission.batches[0].rows.encoding.value,
            len(submission.idempotency),
        ]
        for key, value in submission.idempotency.items():
            args += [key, value]
        for batch in submission.batches:
            n_rows, members = batch.rows.n_rows, batch.members
            message = self._messages.make_message(batch.id, submission.queue, n_rows, len(members))
            args += [batch.id, batch.rows.content, n_rows, pack_members(members), message, pack_origins(batch.origins)]
        accepted = await self._transport.run(_SUBMIT, args)
        if accepted < 0:
            raise BrokerUnavailable
        if not accepted:
            raise BacklogFull
