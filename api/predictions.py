"""From validated rows to an answer, or to an id that will have one: submit, wait, look up, cancel."""

import asyncio
import math
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec

from api.batcher import Batcher
from api.clock import NEVER_US
from api.idempotency import RESERVED_SECONDS, IdempotencyKey, IdempotencyKeys
from api.lanes import MAX_BATCH_ROWS, Batch
from api.metrics import GatewayMetrics
from api.publisher import Publisher
from api.pulse import Pulse
from api.reader import Prediction
from api.replies import Expected, Replies, Waiter
from api.store import NewBatch, Store, Submission
from shared.errors import BacklogFull, BrokerUnavailable, DeadlineUnreachable
from shared.ids import SECRET_BYTES, WHOLE, BatchId, PredictionId, new_batch_id, slice_id
from shared.names import FINAL, Queue, State
from shared.record import Member, Origin

_LATE_SECONDS: Final = 0.02  # after a deadline, before the store is asked whether it has passed there too
_FIRST_POLL_SECONDS: Final = 0.02  # twice as long each time
_LONGEST_POLL_SECONDS: Final = 0.5


class Order(NamedTuple):
    """What a client asks for."""

    rows: bytes
    """float64, row-major."""
    n_rows: int
    wait_seconds: float
    deadline_seconds: float | None = None
    """From now; there is no use for an answer after it."""
    idempotency: IdempotencyKey | None = None
    origin: Origin | None = None


class Submitted(msgspec.Struct, frozen=True):
    """What has become of a prediction by the time its client is answered."""

    id: PredictionId
    prediction: Prediction


class Predictions:
    """The gateway's whole business with predictions."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        pulse: Pulse,
        idempotency: IdempotencyKeys,
        metrics: GatewayMetrics,
        reply_channel: str,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._reply_channel = reply_channel
        self._publisher = publisher
        self._pulse = pulse
        self._idempotency = idempotency
        self._batcher = Batcher(self._send, pulse.allowance)
        self.replies = Replies(store.read_all, self._batcher.release)
        self._answered: list[BatchId] = []
        self._is_drained = False

    async def submit(self, order: Order) -> Submitted:
        """Accept rows and wait for their prediction to become final, up to `wait_seconds`.

        Raises:
            BacklogFull, BrokerUnavailable, DeadlineUnreachable: the client gets no id.
            IdempotencyKeyReused, IdempotencyKeyInUse: nor here.
        """
        if self._is_drained:
            order = order._replace(wait_seconds=0)
        if order.idempotency is not None:
            return await self._submit_once(order, order.idempotency)
        return await self._submit(order, NEVER_US)

    async def _submit_once(self, order: Order, key: IdempotencyKey) -> Submitted:
        # Recorded later than this, the rows might meet the key in another request's hands.
        latest_us = self._store.clock.in_seconds(RESERVED_SECONDS - 1)
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
        if order.n_rows > MAX_BATCH_ROWS:
            return await self._submit_spanning(order, model, deadline_us, latest_us)
        batch, waiter = self._batcher.join(order.rows, order.n_rows, model, deadline_us, order.origin)
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
        wait = self._pulse.predicted_wait(Queue.BULK if order.n_rows > MAX_BATCH_ROWS else Queue.INTERACTIVE)
        if wait > seconds:
            raise DeadlineUnreachable(math.ceil(wait - seconds))
        return self._store.clock.in_seconds(seconds)

    async def get(self, prediction_id: PredictionId) -> Prediction:
        """Look a prediction up.

        Raises:
            PredictionNotFound, PredictionGone, BrokerUnavailable: as `Store.read`.
        """
        return await self._store.read(prediction_id)

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Cancel a prediction.

        Raises:
            PredictionAlreadyFinal, PredictionNotFound, PredictionGone, BrokerUnavailable: as `Store.cancel`.
        """
        await self._store.cancel(prediction_id)
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
        try:
            await self.replies.recheck()
            if self._answered:
                answered, self._answered = self._answered, []
                await self._store.shorten_retention(answered)
        except BrokerUnavailable:
            pass  # the next look will tell

    def drain(self) -> None:
        """Give everybody who waits, now and from now on, a 202."""
        self._is_drained = True
        self._batcher.stop_waiting()
        self.replies.stop_waiting()

    async def _submit_spanning(self, order: Order, model: bytes, deadline_us: int, latest_us: int) -> Submitted:
        expected = Expected(new_batch_id(), model)
        waiter = expected.add(PredictionId.new(expected.id, WHOLE), order.n_rows, deadline_us)
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
        prediction = await self._store.read(prediction_id)
        while prediction.state not in FINAL and loop.time() < ends_at and not self._is_drained:
            await asyncio.sleep(min(pause, ends_at - loop.time()))
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)
            prediction = await self._store.read(prediction_id)
        return prediction

    async def _progress(self, prediction_id: PredictionId, queued: Prediction) -> Prediction:
        """Say how far a prediction is whose client is about to be given its id, whatever happens to the broker."""
        try:
            return await self._store.read(prediction_id)
        except BrokerUnavailable:
            return queued

    async def _send(self, batch: Batch) -> None:
        message = self._publisher.message(batch.id, Queue.INTERACTIVE, batch.n_rows, len(batch.members))
        new_batch = NewBatch(batch.id, b"".join(batch.rows), batch.members, message, batch.origins)
        model = batch.expected.model
        await self._record(
            batch.expected,
            Submission(
                Queue.INTERACTIVE,
                batch.id,
                None,
                [new_batch],
                model,
                self._reply_channel,
                batch.idempotency,
                batch.latest_us,
            ),
        )

    async def _record(self, expected: Expected, submission: Submission) -> None:
        self.replies.expect(expected)
        try:
            await self._store.submit(submission)
        except BaseException:
            self.replies.forget(expected.id)
            raise
        self._metrics.accepted(submission.queue, submission.n_predictions, submission.n_rows)

    def _spanning(self, waiter: Waiter, order: Order, model: bytes) -> Submission:
        prediction_id, stem = waiter.prediction_id, waiter.prediction_id.batch_id
        row_bytes = len(order.rows) // order.n_rows
        origins = {} if order.origin is None else {0: order.origin}
        batches = []
        for number, start in enumerate(range(0, order.n_rows, MAX_BATCH_ROWS)):
            n_rows = min(MAX_BATCH_ROWS, order.n_rows - start)
            batch_id = slice_id(stem, number)
            # A slice's own secret opens nothing: the prediction is found by its head.
            member = Member(bytes(SECRET_BYTES), n_rows, waiter.deadline_us)
            rows = order.rows[start * row_bytes : (start + n_rows) * row_bytes]
            message = self._publisher.message(batch_id, Queue.BULK, n_rows, 1)
            batches.append(NewBatch(batch_id, rows, [member], message, origins))
        head = Member(prediction_id.secret, order.n_rows, waiter.deadline_us)
        key = order.idempotency
        idempotency = {} if key is None else {key.name: key.value(prediction_id)}
        return Submission(Queue.BULK, stem, head, batches, model, self._reply_channel, idempotency=idempotency)


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
