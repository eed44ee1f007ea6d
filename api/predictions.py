"""From validated rows to an answer, or to an id that will have one: submit, wait, look up, cancel."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from api.batcher import Batcher
from api.lanes import Batch
from api.metrics import GatewayMetrics
from api.pulse import Pulse
from api.replies import Expected, Replies, Waiter
from shared.errors import BacklogFull, BrokerUnavailable, DeadlineUnreachable
from shared.ids import SECRET_BYTES, WHOLE, BatchId, PredictionId, new_batch_id, slice_id
from shared.names import FINAL, Queue, State
from shared.rows import EncodedRows
from shared.store.clock import NEVER_US, StoreClock
from shared.store.idempotency import RESERVED_SECONDS, IdempotencyKey, IdempotencyKeys
from shared.store.lookups import Lookups, Prediction
from shared.store.records import Member, Origin
from shared.store.submissions import NewBatch, Submission, Submissions

_LATE_SECONDS: Final = 0.02  # after a deadline, before the store is asked whether it has passed there too
_FIRST_POLL_SECONDS: Final = 0.02  # twice as long each time
_LONGEST_POLL_SECONDS: Final = 0.5


class Order(msgspec.Struct, frozen=True):
    """What a client asks for."""

    rows: Sequence[EncodedRows]
    """One part for each batch that they fill; a single one shares its batch with others."""
    wait_seconds: float
    deadline_seconds: float | None = None
    """From now; there is no use for an answer after it."""
    idempotency: IdempotencyKey | None = None
    origin: Origin | None = None

    @property
    def queue(self) -> Queue:
        """Where the messages of its batches wait."""
        return Queue.INTERACTIVE if len(self.rows) == 1 else Queue.BULK


class Submitted(msgspec.Struct, frozen=True):
    """What has become of a prediction by the time its client is answered."""

    id: PredictionId
    prediction: Prediction


class Predictions:
    """The gateway's whole business with predictions."""

    def __init__(
        self,
        submissions: Submissions,
        lookups: Lookups,
        idempotency: IdempotencyKeys,
        clock: StoreClock,
        pulse: Pulse,
        metrics: GatewayMetrics,
        reply_channel: str,
    ) -> None:
        self._submissions = submissions
        self._lookups = lookups
        self._idempotency = idempotency
        self._clock = clock
        self._pulse = pulse
        self._metrics = metrics
        self._reply_channel = reply_channel
        self._batcher = Batcher(self._send, pulse.allowance)
        self.replies = Replies(lookups.read_all, self._batcher.release, metrics.alien)
        self._answered: list[BatchId] = []
        self._is_drained = False

    async def submit(self, order: Order) -> Submitted:
        """Accept rows and wait for their prediction to become final, up to `wait_seconds`.

        Raises:
            BacklogFull, BrokerUnavailable, DeadlineUnreachable: the client gets no id.
            IdempotencyKeyReused, IdempotencyKeyInUse: nor here.
        """
        if self._is_drained:
            order = msgspec.structs.replace(order, wait_seconds=0)
        if order.idempotency is not None:
            return await self._submit_once(order, order.idempotency)
        return await self._submit(order, NEVER_US)

    async def _submit_once(self, order: Order, key: IdempotencyKey) -> Submitted:
        # Recorded later than this, the rows might meet the key in another request's hands.
        latest_us = self._clock.in_seconds(RESERVED_SECONDS - 1)
        earlier = await self._idempotency.reserve(key)
        if earlier is not None:
            return Submitted(earlier, await self._follow(earlier, order.wait_seconds))
        try:
            return await self._submit(order, latest_us)
        except (BacklogFull, DeadlineUnreachable):
            await self._idempotency.release(key)
            raise

    async def _submit(self, order: Order, latest_us: int) -> Submitted:
        model = self._pulse.model_ref
        deadline_us = self._deadline_us(order)
        if order.queue is Queue.BULK:
            return await self._submit_spanning(order, model, deadline_us, latest_us)
        batch, waiter = self._batcher.join(order.rows[0], model, deadline_us, order.origin)
        if order.idempotency is not None:
            batch.idempotency[order.idempotency.name] = order.idempotency.value(waiter.prediction_id)
            batch.latest_us = min(batch.latest_us, latest_us)
            await self._batcher.hurry(batch)
        prediction = await _answer(waiter, order)
        if prediction is None:
            await self._batcher.hurry(batch)
        return await self._conclude(batch.expected, waiter, prediction, order)

    def _deadline_us(self, order: Order) -> int:
        """When the deadline is by the store's clock; 0 for none.

        Raises:
            DeadlineUnreachable: what waits already takes longer.
        """
        seconds = order.deadline_seconds
        if seconds is None:
            return 0
        wait = self._pulse.predicted_wait(order.queue)
        if wait > seconds:
            raise DeadlineUnreachable(math.ceil(wait - seconds))
        return self._clock.in_seconds(seconds)

    async def get(self, prediction_id: PredictionId) -> Prediction:
        """Look a prediction up.

        Raises:
            PredictionNotFound, PredictionGone, BrokerUnavailable: as `Lookups.read`.
        """
        return await self._lookups.read(prediction_id)

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Cancel a prediction.

        Raises:
            PredictionAlreadyFinal, PredictionNotFound, PredictionGone, BrokerUnavailable: as `Lookups.cancel`.
        """
        await self._lookups.cancel(prediction_id)
        self._metrics.canceled(prediction_id.queue)

    async def tick(self) -> None:
        """Once a second: find answers whose message was lost, and let go of those that were given to their clients."""
        gathering = list(self._batcher.gathering)
        self._metrics.hold(
            n_waiters=self.replies.n_waiting + sum(batch.expected.n_waiting for batch in gathering),
            n_gathering_rows=sum(batch.n_rows for batch in gathering),
        )
        if not self._pulse.sees_broker:
            self._batcher.refuse_all(BrokerUnavailable())
            return
        answered, self._answered = self._answered, []
        try:
            await self._lookups.shorten_retention(answered)
        except BrokerUnavailable:
            self._answered += answered  # the next look will tell
        else:
            await self.replies.recheck()

    def drain(self) -> None:
        """Give everybody who waits, now and from now on, a 202."""
        self._is_drained = True
        self._batcher.stop_waiting()
        self.replies.stop_waiting()

    async def _submit_spanning(self, order: Order, model: bytes, deadline_us: int, latest_us: int) -> Submitted:
        expected = Expected(new_batch_id(), model)
        n_rows = sum(part.n_rows for part in order.rows)
        waiter = expected.add(PredictionId.new(expected.id, WHOLE), n_rows, deadline_us)
        await self._record(expected, replace(self._spanning(waiter, order, model), latest_us=latest_us))
        return await self._conclude(expected, waiter, await _answer(waiter, order), order)

    async def _conclude(
        self, expected: Expected, waiter: Waiter, prediction: Prediction | None, order: Order
    ) -> Submitted:
        if prediction is not None:
            if order.idempotency is None:  # otherwise it may be asked for again
                expected.n_given += 1
            if expected.n_given == len(expected.waiters):
                self._answered.append(expected.id)
        else:
            prediction = Prediction(State.QUEUED, 0, waiter.n_rows, expected.model)
            if order.wait_seconds > 0:
                prediction = await self._progress(waiter.prediction_id, prediction)
        return Submitted(waiter.prediction_id, prediction)

    async def _follow(self, prediction_id: PredictionId, wait_seconds: float) -> Prediction:
        """Wait for a prediction that another request submitted, perhaps at another gateway."""
        loop = asyncio.get_running_loop()
        ends_at, pause = loop.time() + wait_seconds, _FIRST_POLL_SECONDS
        prediction = await self._lookups.read(prediction_id)
        while prediction.state not in FINAL and loop.time() < ends_at and not self._is_drained:
            await asyncio.sleep(min(pause, ends_at - loop.time()))
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)
            prediction = await self._lookups.read(prediction_id)
        return prediction

    async def _progress(self, prediction_id: PredictionId, queued: Prediction) -> Prediction:
        """Say how far a prediction is whose client is about to be given its id, whatever happens to the broker."""
        try:
            return await self._lookups.read(prediction_id)
        except BrokerUnavailable:
            return queued

    async def _send(self, batch: Batch) -> None:
        submission = Submission(
            Queue.INTERACTIVE,
            batch.id,
            None,
            [NewBatch(batch.id, batch.rows, batch.members, batch.origins)],
            batch.expected.model,
            self._reply_channel,
            batch.idempotency,
            batch.latest_us,
        )
        await self._record(batch.expected, submission)

    async def _record(self, expected: Expected, submission: Submission) -> None:
        self.replies.expect(expected)
        try:
            await self._submissions.submit(submission)
        except BaseException:
            self.replies.forget(expected.id)
            raise
        self._metrics.accepted(submission.queue, submission.n_predictions, submission.n_rows)

    def _spanning(self, waiter: Waiter, order: Order, model: bytes) -> Submission:
        prediction_id, parent = waiter.prediction_id, waiter.prediction_id.batch_id
        origins = {} if order.origin is None else {0: order.origin}
        # A child's own secret opens nothing: the prediction is found by its parent.
        secret = bytes(SECRET_BYTES)
        children = [
            NewBatch(
                slice_id(parent, index),
                part,
                [Member(secret, part.n_rows, len(part.content), waiter.deadline_us)],
                origins,
            )
            for index, part in enumerate(order.rows)
        ]
        member = Member(prediction_id.secret, waiter.n_rows, deadline_us=waiter.deadline_us)
        key = order.idempotency
        idempotency = {} if key is None else {key.name: key.value(prediction_id)}
        return Submission(Queue.BULK, parent, member, children, model, self._reply_channel, idempotency=idempotency)


async def _answer(waiter: Waiter, order: Order) -> Prediction | None:
    """Wait for a prediction to become final; None when the wait is over first."""
    seconds = order.wait_seconds
    if seconds <= 0:  # an answer that is there already would still be one that nobody waited for
        waiter.stop()
        return None
    if order.deadline_seconds is not None:
        seconds = min(seconds, order.deadline_seconds + _LATE_SECONDS)
    patience = asyncio.get_running_loop().call_later(seconds, waiter.stop)
    try:
        return await waiter.answer
    finally:
        patience.cancel()
