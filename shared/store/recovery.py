"""The store's methods for the reconciler: recovers lost batches, and isolates poison."""

from enum import Enum, auto
from typing import Final, NamedTuple

import msgspec

from shared.bulk import Slice, SliceResult, Source
from shared.errors import Fault
from shared.ids import SPANNING, BatchId, PredictionId, child_id, parse_child_id
from shared.names import FailureCode, OnError, Queue
from shared.store.records import Failure, Member, Outcome, pack_origins, unpack_members, unpack_origins
from shared.store.schema import ANNOUNCEMENT_SECONDS, BatchState
from shared.store.scripts import Script
from shared.store.submissions import MessageMaker
from shared.store.transport import Argument, AsyncTransport

_RECONCILE: Final = Script.load("reconcile")
_EXAMINE: Final = Script.load("examine")
_SPLIT: Final = Script.load("split")
_DEAD_LETTER: Final = Script.load("dead_letter")
_SPLIT_SLICE: Final = Script.load("split_slice")
_GIVE_UP_ROW: Final = Script.load("give_up_row")

RECONCILE_MS: Final = 900
"""Minimum time between two runs, over all gateways, each of which calls once a second."""
OUTAGE_MS: Final = 3000
"""Time without a run that means that the broker was unavailable, so that no worker could announce itself."""


class ReconcileResult(NamedTuple):
    """The result of one run of the reconciler."""

    n_published: int
    """Number of batches with a lost message that were published again."""
    n_requeued: int
    """Number of attempts of lost workers that were ended."""
    exhausted: list[BatchId]
    """Batches whose attempts are used up."""


class IsolationResult(Enum):
    """The result of isolating the poison in an exhausted batch."""

    NONE = auto()  # all clients have canceled, or another gateway has done it
    SPLIT = auto()
    DEAD_LETTERED = auto()
    GIVEN_UP = auto()  # a slice of one row: the row has no result, or the prediction has failed


class Recovery:
    """Runs the recovery scripts. All gateways do so, independently of each other."""

    def __init__(
        self,
        transport: AsyncTransport,
        messages: MessageMaker,
        *,
        max_attempts: int,
        result_ttl_seconds: int,
        dead_letter_ttl_seconds: int,
    ) -> None:
        self._transport = transport
        self._messages = messages
        self._max_attempts = max_attempts
        self._result_ttl_seconds = result_ttl_seconds
        self._dead_letter_ttl_seconds = dead_letter_ttl_seconds

    async def reconcile(self) -> ReconcileResult:
        """Publish lost messages again, and end the attempts of lost workers, unless a gateway has just done so.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        announced_ms = ANNOUNCEMENT_SECONDS * 1000
        args = [RECONCILE_MS, OUTAGE_MS, announced_ms, self._max_attempts, self._dead_letter_ttl_seconds]
        n_published, n_requeued, *exhausted = await self._transport.run(_RECONCILE, args)
        return ReconcileResult(n_published, n_requeued, [BatchId(batch_id.decode()) for batch_id in exhausted])

    async def isolate_poison(self, batch_id: BatchId) -> tuple[IsolationResult, Queue]:
        """Split an exhausted batch or halve a slice; end one of a single member or row as a dead letter or a failure.

        Returns:
            The result, and the queue of the batch.

        Raises:
            BrokerUnavailable: Redis timed out.
            RecordIncompatible: the record has another schema; only a gateway with that schema can do it.
        """
        reply = await self._transport.run(_EXAMINE, [batch_id])
        state, raw_queue, raw_members, origins, parents_member, rows, source = reply
        if state is None or state.decode() != BatchState.EXHAUSTED:
            raw_members, raw_queue = b"", raw_queue or Queue.INTERACTIVE.encode()
        queue, members = Queue(raw_queue.decode()), unpack_members(raw_members)
        if rows is not None:
            is_done, verdict = await self._isolate_row(batch_id, rows, Source.decode(source))
        elif len(members) > 1:
            is_done, verdict = await self._split(batch_id, queue, members, origins), IsolationResult.SPLIT
        else:  # the script checks the state
            is_done, verdict = (
                await self._keep_dead_letter(batch_id, members, parents_member),
                IsolationResult.DEAD_LETTERED,
            )
        return (verdict if is_done else IsolationResult.NONE), queue

    async def _isolate_row(self, slice_id: BatchId, raw_slice: bytes, source: Source) -> tuple[bool, IsolationResult]:
        rows = msgspec.msgpack.decode(raw_slice, type=Slice)
        if rows.n_rows > 1:
            return bool(await self._transport.run(_SPLIT_SLICE, [slice_id, self._max_attempts])), IsolationResult.SPLIT
        row, fails = rows.first_row, source.on_error is OnError.FAIL
        detail = f"Each of {self._max_attempts} attempts at this row alone crashed or timed out."
        if fails:
            fault = Fault(f"/data/{row}", detail)
            packed = Failure(FailureCode.POISON, f"Row {row} cannot be scored: see `errors`.", (fault,)).encode()
        else:
            packed = SliceResult(row, 1, key="", n_bytes=0, n_bad=1, error=detail).encode()
        return bool(
            await self._transport.run(_GIVE_UP_ROW, [slice_id, packed, int(fails), row])
        ), IsolationResult.GIVEN_UP

    async def _split(self, batch_id: BatchId, queue: Queue, members: list[Member], packed_origins: bytes) -> bool:
        origins = unpack_origins(packed_origins)
        args: list[Argument] = [batch_id]
        for index, member in enumerate(members):
            args.append(self._messages.make_message(child_id(batch_id, index), queue, member.n_rows, 1))
            args.append(pack_origins({0: origins[index]} if index in origins else {}))
        return bool(await self._transport.run(_SPLIT, args))

    async def _keep_dead_letter(self, batch_id: BatchId, members: list[Member], parents_member: bytes | None) -> bool:
        detail = (
            f"Each of {self._max_attempts} attempts at these rows alone crashed or timed out; the rows are kept as a "
            "dead letter."
        )
        outcome = Outcome(0, 0, [Failure(FailureCode.POISON, detail)])
        prediction_id = str(_prediction_id(batch_id, members, parents_member)) if members else ""
        args: list[Argument] = [
            batch_id,
            outcome.encode(),
            self._result_ttl_seconds,
            self._dead_letter_ttl_seconds,
            prediction_id,
        ]
        return bool(await self._transport.run(_DEAD_LETTER, args))


def _prediction_id(batch_id: BatchId, members: list[Member], parents_member: bytes | None) -> PredictionId:
    """Return the id of the only prediction of a batch, which is a member of the batch or of its parent."""
    parent, index = parse_child_id(batch_id) or (batch_id, 0)
    if parents_member is None:
        return PredictionId(parent, index, members[0].secret)
    return PredictionId(parent, SPANNING, unpack_members(parents_member)[0].secret)
