"""Owns the waiting requests of a gateway process: gathers them into batches, submits these and resolves the waiters.

A batch leaves immediately if a pool process is free for it. Otherwise predictions gather, and leave together when a
batch that is under way is answered (`api.predictions.batches_under_way`). Without load, batching does not delay a
prediction, and under load it makes each prediction cheaper (docs/decisions/0010-batches-form-themselves.md).

A message on the reply channel can be lost. So pending predictions are looked up in the store after every new
subscription, and every few seconds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from api.predictions.batches_under_way import BatchesUnderWay
from api.predictions.open_batches import OpenBatch, OpenBatches
from api.predictions.pending_batches import PendingBatch, Waiter
from api.telemetry.metrics import GatewayMetrics
from shared.errors import BrokerUnavailable, PredictionGone, PredictionNotFound, RecordIncompatible
from shared.ids import BatchId, PredictionId
from shared.names import Queue
from shared.rows import EncodedRows
from shared.store.lookups import Prediction
from shared.store.records import AlienMessage, Origin, parse_reply
from shared.store.submissions import NewBatch, Submission
from shared.store.transport import StoreRefused

_RECHECK_SECONDS: Final = 5.0  # the delay after a lost message; a thousand pending batches cost 200 look-ups a second

log = structlog.get_logger(__name__)

SubmitBatches = Callable[[Submission], Awaitable[None]]
ReadPredictions = Callable[[Sequence[PredictionId]], Awaitable[list[Prediction]]]


class Coordinator:
    """The open batches, batches under way and pending batches of one gateway process."""

    def __init__(
        self,
        submit: SubmitBatches,
        read: ReadPredictions,
        allowance: Callable[[], int],
        metrics: GatewayMetrics,
        reply_channel: str,
    ) -> None:
        """Start without any batch.

        Args:
            submit: records a submission and publishes its messages.
            read: looks up predictions of one batch.
            allowance: returns how many interactive batches may be under way.
            metrics: counts accepted predictions and alien messages.
            reply_channel: the channel on which outcomes are published for this process.
        """
        self._submit_to_store = submit
        self._read = read
        self._metrics = metrics
        self._reply_channel = reply_channel
        self._open = OpenBatches()
        self._under_way = BatchesUnderWay(allowance, self._flush)
        self._pending: dict[BatchId, PendingBatch] = {}
        self._submitting: set[asyncio.Task[None]] = set()
        self._look_ups: set[asyncio.Task[None]] = set()
        self._flush_is_due = False

    def join(
        self, rows: EncodedRows, model: bytes, deadline_us: int = 0, origin: Origin | None = None
    ) -> tuple[OpenBatch, Waiter]:
        """Add a prediction to an open batch, which leaves as soon as the allowance permits."""
        batch = self._open.find_or_open(rows, model)
        waiter = batch.join(rows, deadline_us, origin)
        self._under_way.count_request()
        self._schedule_flush()
        return batch, waiter

    async def flush_now(self, batch: OpenBatch) -> None:
        """Record a batch without waiting for a free pool process; concurrent calls share round trips to the store.

        Raises:
            BacklogFull, BrokerUnavailable: the batch was not accepted.
        """
        batch.is_urgent = True
        self._schedule_flush()
        await batch.wait_until_recorded()

    async def submit(self, pending_batch: PendingBatch, submission: Submission) -> None:
        """Record a submission. Its batch is made pending first: the outcome may arrive before the submission's reply.

        Raises:
            BacklogFull, BrokerUnavailable: the submission was not accepted.
        """
        self._pending[pending_batch.id] = pending_batch
        try:
            await self._submit_to_store(submission)
        except BaseException:
            self._pending.pop(pending_batch.id, None)
            raise
        self._metrics.count_accepted(submission.queue, submission.n_predictions, submission.n_rows)

    def receive(self, message: bytes) -> None:
        """Handle a message of the reply channel."""
        try:
            batch_id, finished_us, outcome = parse_reply(message)
        except AlienMessage as error:
            self._metrics.count_alien_message()
            log.warning("ignored an alien message on the reply channel", reason=str(error), begins=repr(message[:80]))
            return
        pending = self._pending.get(batch_id)
        if pending is None:
            self._under_way.remove(batch_id)
        elif outcome is not None and pending.is_answered_by(outcome):
            del self._pending[batch_id]
            n_gathered = sum(len(batch.members) for batch in self._open)
            self._under_way.remove_answered(batch_id, outcome.predict_us, len(pending.unresolved_waiters), n_gathered)
            pending.resolve(outcome, finished_us)
        else:
            pending.needs_look_up = True
            task = asyncio.get_running_loop().create_task(self._look_up(pending))
            self._look_ups.add(task)
            task.add_done_callback(self._look_ups.discard)

    async def recheck(self) -> None:
        """Look up the batches that have been pending for a while: their messages may have been lost."""
        await self._look_up_checked_before(time.monotonic() - _RECHECK_SECONDS)

    async def recheck_all(self) -> None:
        """Look up every pending batch: messages may have been lost with the subscription."""
        await self._look_up_checked_before(time.monotonic())

    def set_gauges(self) -> None:
        """Set the gauges of waiting requests and of rows in open batches."""
        gathering = list(self._open)
        waiting = [*(batch.pending for batch in gathering), *self._pending.values()]
        self._metrics.observe_and_set_gauges(
            n_waiters=sum(len(pending.unresolved_waiters) for pending in waiting),
            n_gathering_rows=sum(batch.n_rows for batch in gathering),
        )

    def fail_open_batches(self, error: Exception) -> None:
        """Fail every prediction in an open batch."""
        while self._open:
            self._open.pop_next().settle(error)

    def stop_waiting(self) -> None:
        """Release all waiters without a result."""
        for pending in (*(batch.pending for batch in self._open), *self._pending.values()):
            pending.stop_waiting()

    def _schedule_flush(self) -> None:
        # Flush after all requests of this event loop iteration have been read, so that they share the batch.
        if not self._flush_is_due:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        while self._open and self._under_way.has_place():
            batch = self._open.pop_next()
            self._under_way.add(batch.id)
            self._submit_in_background(batch)
        # Urgent batches do not count as under way, so they do not delay other batches.
        while not self._submitting and (urgent := self._open.pop_urgent()):
            self._submit_in_background(urgent)

    def _submit_in_background(self, batch: OpenBatch) -> None:
        now_ns = time.monotonic_ns()
        for waiter in batch.pending.waiters:
            waiter.gathered_us = (now_ns - waiter.joined_ns) // 1000
        task = asyncio.get_running_loop().create_task(self._submit_batch(batch))
        self._submitting.add(task)
        task.add_done_callback(self._on_batch_submitted)

    def _on_batch_submitted(self, task: asyncio.Task[None]) -> None:
        self._submitting.discard(task)
        self._flush()

    async def _submit_batch(self, batch: OpenBatch) -> None:
        submission = Submission(
            Queue.INTERACTIVE,
            batch.id,
            None,
            [NewBatch(batch.id, batch.rows, batch.members, batch.origins)],
            batch.pending.model,
            self._reply_channel,
            batch.idempotency,
            batch.latest_us,
        )
        try:
            await self.submit(batch.pending, submission)
        except Exception as error:  # raised again in the requests that share the batch
            batch.settle(error)
            if isinstance(error, BrokerUnavailable):
                self.fail_open_batches(error)  # open batches would fail with the same error
            self._under_way.remove(batch.id)
        else:
            batch.settle(None)

    async def _look_up_checked_before(self, checked_before: float) -> None:
        for pending in list(self._pending.values()):
            if pending.checked_at < checked_before:
                pending.checked_at = time.monotonic()
                await self._look_up(pending)

    async def _look_up(self, pending_batch: PendingBatch) -> None:
        """Look up the predictions of all waiters of a batch, in one round trip."""
        waiters = pending_batch.unresolved_waiters
        if waiters:
            try:
                predictions = await self._read([waiter.prediction_id for waiter in waiters])
            except (PredictionNotFound, PredictionGone, RecordIncompatible, StoreRefused, BrokerUnavailable):
                return  # not recorded yet, or retried at the next recheck
            pending_batch.resolve_final(waiters, predictions)
        if not pending_batch.unresolved_waiters:
            self._pending.pop(pending_batch.id, None)
            self._under_way.remove(pending_batch.id)
