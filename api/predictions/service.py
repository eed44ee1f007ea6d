"""Submits predictions, waits for their results and cancels them."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from api.cluster.status import ClusterStatus
from api.predictions.admission import Admission
from api.predictions.coordinator import Coordinator
from api.predictions.pending_batches import PendingBatch, Waiter
from api.telemetry.metrics import GatewayMetrics
from shared.errors import BacklogFull, BrokerUnavailable, DeadlineUnreachable, TooManyWaiters
from shared.ids import SECRET_BYTES, SPANNING, BatchId, PredictionId, child_id, new_batch_id
from shared.names import FINAL_STATES, Queue, State
from shared.rows import EncodedRows
from shared.store.clock import NEVER_US
from shared.store.idempotency import IdempotencyKey
from shared.store.lookups import Lookups, Prediction
from shared.store.records import Member, Origin
from shared.store.submissions import NewBatch, Submission

_CLOCK_MARGIN_SECONDS: Final = 0.02  # added to a deadline, so that it has also passed by the store's clock
_FIRST_POLL_SECONDS: Final = 0.02  # the interval doubles after each poll
_LONGEST_POLL_SECONDS: Final = 0.5


class PredictionRequest(msgspec.Struct, frozen=True):
    """A validated request for one prediction."""

    rows: Sequence[EncodedRows]
    """One part for each batch; a single part shares its batch with other predictions."""
    wait_seconds: float
    deadline_seconds: float | None = None
    """From now; after it the client no longer needs the result."""
    idempotency: IdempotencyKey | None = None
    origin: Origin | None = None

    @property
    def queue(self) -> Queue:
        """The queue for the messages of its batches."""
        return Queue.INTERACTIVE if len(self.rows) == 1 else Queue.BULK


class PredictionResponse(msgspec.Struct, frozen=True):
    """A prediction and its id, as of the time of the response."""

    id: PredictionId
    prediction: Prediction


class PredictionService:
    """Submits predictions, waits for them and cancels them."""

    def __init__(
        self,
        coordinator: Coordinator,
        admission: Admission,
        lookups: Lookups,
        cluster: ClusterStatus,
        metrics: GatewayMetrics,
        reply_channel: str,
        max_waiters: int,
    ) -> None:
        self._coordinator = coordinator
        self._admission = admission
        self._lookups = lookups
        self._cluster = cluster
        self._metrics = metrics
        self._reply_channel = reply_channel
        self._max_waiters = max_waiters
        self._n_waiters = 0
        self._answered: list[BatchId] = []
        self._is_draining = False

    async def submit(self, request: PredictionRequest) -> PredictionResponse:
        """Submit a prediction and wait up to `wait_seconds` for it to become final.

        Raises:
            TooManyWaiters: the request would wait; nothing was stored.
            BacklogFull, BrokerUnavailable, DeadlineUnreachable: the prediction was refused and has no id.
            IdempotencyKeyReused, IdempotencyKeyInUse: likewise.
        """
        if self._is_draining:
            request = msgspec.structs.replace(request, wait_seconds=0)
        if request.wait_seconds <= 0:
            return await self._submit_request(request)
        if self._n_waiters >= self._max_waiters:
            raise TooManyWaiters
        self._n_waiters += 1
        try:
            return await self._submit_request(request)
        finally:
            self._n_waiters -= 1

    async def _submit_request(self, request: PredictionRequest) -> PredictionResponse:
        if request.idempotency is not None:
            return await self._submit_with_key(request, request.idempotency)
        return await self._submit_rows(request, NEVER_US)

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Cancel a prediction.

        Raises:
            PredictionAlreadyFinal, PredictionNotFound, PredictionGone, BrokerUnavailable: as `Lookups.cancel`.
        """
        await self._lookups.cancel(prediction_id)
        self._metrics.count_canceled(prediction_id.queue)

    async def tick(self) -> None:
        """Recheck old pending batches and shorten the retention of answered ones; called once a second."""
        self._coordinator.set_gauges()
        if self._cluster.overview is None:
            self._coordinator.fail_open_batches(BrokerUnavailable())
            return
        answered, self._answered = self._answered, []
        try:
            await self._lookups.shorten_retention(answered)
        except BrokerUnavailable:
            self._answered += answered  # the next refresh finds that the broker is unavailable
        else:
            await self._coordinator.recheck()

    def drain(self) -> None:
        """Release all waiters, so that their requests end with 202; later requests do not wait."""
        self._is_draining = True
        self._coordinator.stop_waiting()

    async def _submit_with_key(self, request: PredictionRequest, key: IdempotencyKey) -> PredictionResponse:
        earlier, latest_us = await self._admission.reserve(key)
        if earlier is not None:
            return PredictionResponse(earlier, await self._poll_until_final(earlier, request.wait_seconds))
        try:
            return await self._submit_rows(request, latest_us)
        except (BacklogFull, DeadlineUnreachable):
            await self._admission.release(key)
            raise

    async def _submit_rows(self, request: PredictionRequest, latest_us: int) -> PredictionResponse:
        model = self._cluster.model.ref_json
        deadline_us = self._admission.deadline_us(request.deadline_seconds, request.queue)
        if request.queue is Queue.BULK:
            return await self._submit_spanning(request, model, deadline_us, latest_us)
        batch, waiter = self._coordinator.join(request.rows[0], model, deadline_us, request.origin)
        if request.idempotency is not None:
            batch.idempotency[request.idempotency.stored_name] = request.idempotency.stored_value(waiter.prediction_id)
            batch.latest_us = min(batch.latest_us, latest_us)
            await self._coordinator.flush_now(batch)
        prediction = await _wait_for(waiter, request)
        if prediction is None:
            await self._coordinator.flush_now(batch)
        return await self._respond(batch.pending, waiter, prediction, request)

    async def _submit_spanning(
        self, request: PredictionRequest, model: bytes, deadline_us: int, latest_us: int
    ) -> PredictionResponse:
        pending = PendingBatch(new_batch_id(), model)
        n_rows = sum(part.n_rows for part in request.rows)
        waiter = pending.add(PredictionId.new(pending.id, SPANNING), n_rows, deadline_us)
        await self._coordinator.submit(pending, self._spanning_submission(waiter, request, model, latest_us))
        return await self._respond(pending, waiter, await _wait_for(waiter, request), request)

    def _spanning_submission(
        self, waiter: Waiter, request: PredictionRequest, model: bytes, latest_us: int
    ) -> Submission:
        prediction_id, parent = waiter.prediction_id, waiter.prediction_id.batch_id
        origins = {} if request.origin is None else {0: request.origin}
        # Look-ups read the parent, so that the secret of a child is never used.
        secret = bytes(SECRET_BYTES)
        children = [
            NewBatch(
                child_id(parent, index),
                part,
                [Member(secret, part.n_rows, len(part.content), waiter.deadline_us)],
                origins,
            )
            for index, part in enumerate(request.rows)
        ]
        member = Member(prediction_id.secret, waiter.n_rows, deadline_us=waiter.deadline_us)
        key = request.idempotency
        idempotency = {} if key is None else {key.stored_name: key.stored_value(prediction_id)}
        return Submission(Queue.BULK, parent, member, children, model, self._reply_channel, idempotency, latest_us)

    async def _respond(
        self, pending_batch: PendingBatch, waiter: Waiter, prediction: Prediction | None, request: PredictionRequest
    ) -> PredictionResponse:
        if prediction is not None:
            if request.idempotency is None:  # with a key, the client may request the result again
                pending_batch.n_answered += 1
            if pending_batch.n_answered == len(pending_batch.waiters):
                self._answered.append(pending_batch.id)
        else:
            prediction = Prediction(State.QUEUED, 0, waiter.n_rows, pending_batch.model)
            if request.wait_seconds > 0:
                prediction = await self._look_up_progress(waiter.prediction_id, prediction)
        return PredictionResponse(waiter.prediction_id, prediction)

    async def _poll_until_final(self, prediction_id: PredictionId, wait_seconds: float) -> Prediction:
        """Poll for a prediction that another request submitted, possibly through another gateway."""
        loop = asyncio.get_running_loop()
        ends_at, pause = loop.time() + wait_seconds, _FIRST_POLL_SECONDS
        prediction = await self._lookups.read(prediction_id)
        while prediction.state not in FINAL_STATES and loop.time() < ends_at and not self._is_draining:
            await asyncio.sleep(min(pause, ends_at - loop.time()))
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)
            prediction = await self._lookups.read(prediction_id)
        return prediction

    async def _look_up_progress(self, prediction_id: PredictionId, queued_prediction: Prediction) -> Prediction:
        """Look up the progress of a prediction; `queued_prediction` if the broker is unavailable."""
        try:
            return await self._lookups.read(prediction_id)
        except BrokerUnavailable:
            return queued_prediction


async def _wait_for(waiter: Waiter, request: PredictionRequest) -> Prediction | None:
    """Wait for a prediction to become final; None if the wait ends first."""
    seconds = request.wait_seconds
    if seconds <= 0:  # a client that does not wait gets a 202, even if the result has arrived
        waiter.stop()
        return None
    if request.deadline_seconds is not None:
        seconds = min(seconds, request.deadline_seconds + _CLOCK_MARGIN_SECONDS)
    timer = asyncio.get_running_loop().call_later(seconds, waiter.stop)
    try:
        return await waiter.answer
    finally:
        timer.cancel()
