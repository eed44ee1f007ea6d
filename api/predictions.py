"""From validated rows to an answer, or to an id that will have one: submit, wait, look up, cancel."""

import asyncio
from collections.abc import Sequence

import msgspec

from api.batcher import Batcher
from api.lanes import MAX_BATCH_ROWS, Batch
from api.publisher import Publisher
from api.pulse import Pulse
from api.reader import Prediction
from api.replies import Expected, Replies, Waiter
from api.store import NewBatch, Store, Submission
from shared.errors import BrokerUnavailable
from shared.ids import SECRET_BYTES, WHOLE, BatchId, PredictionId, new_batch_id, slice_id
from shared.names import Queue, State
from shared.record import Member, pack_rows

Rows = Sequence[Sequence[float]]


class Submitted(msgspec.Struct, frozen=True):
    """What has become of a prediction by the time its client is answered."""

    id: PredictionId
    prediction: Prediction


class Predictions:
    """The gateway's whole business with predictions."""

    def __init__(self, store: Store, publisher: Publisher, pulse: Pulse, reply_channel: str) -> None:
        self._store = store
        self._reply_channel = reply_channel
        self._publisher = publisher
        self._pulse = pulse
        self._batcher = Batcher(self._send, pulse.allowance)
        self.replies = Replies(store.read_all, self._batcher.release)
        self._answered: list[BatchId] = []

    async def submit(self, rows: Rows, wait_seconds: float) -> Submitted:
        """Accept rows and wait for their prediction to become final, up to `wait_seconds`.

        Raises:
            BacklogFull, BrokerUnavailable: the client gets no id.
        """
        model = self._pulse.model_ref
        if len(rows) > MAX_BATCH_ROWS:
            return await self._submit_spanning(rows, model, wait_seconds)
        batch, waiter = self._batcher.join(pack_rows(rows), len(rows), model)
        prediction = await _answer(waiter, wait_seconds)
        if prediction is None:
            await self._batcher.hurry(batch)
        return await self._conclude(batch.expected, waiter, prediction, wait_seconds)

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

    async def tick(self) -> None:
        """Once a second: find answers whose message was lost, and let go of those that were given to their clients."""
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

    async def _submit_spanning(self, rows: Rows, model: bytes, wait_seconds: float) -> Submitted:
        expected = Expected(new_batch_id(), model)
        waiter = expected.add(PredictionId.new(expected.id, WHOLE), len(rows))
        await self._record(expected, self._spanning(waiter.prediction_id, rows, model))
        return await self._conclude(expected, waiter, await _answer(waiter, wait_seconds), wait_seconds)

    async def _conclude(
        self, expected: Expected, waiter: Waiter, prediction: Prediction | None, wait_seconds: float
    ) -> Submitted:
        if prediction is not None:
            expected.n_given += 1
            if expected.n_given == len(expected.waiters):
                self._answered.append(expected.id)
        else:
            prediction = Prediction(State.QUEUED, 0, waiter.n_rows, expected.model)
            if wait_seconds > 0:
                prediction = await self._progress(waiter.prediction_id, prediction)
        return Submitted(waiter.prediction_id, prediction)

    async def _progress(self, prediction_id: PredictionId, queued: Prediction) -> Prediction:
        """Say how far a prediction is whose client is about to be given its id, whatever happens to the broker."""
        try:
            return await self._store.read(prediction_id)
        except BrokerUnavailable:
            return queued

    async def _send(self, batch: Batch) -> None:
        message = self._publisher.message(batch.id, Queue.INTERACTIVE)
        new_batch = NewBatch(batch.id, b"".join(batch.rows), batch.members, message)
        model = batch.expected.model
        submission = Submission(Queue.INTERACTIVE, batch.id, None, [new_batch], model, self._reply_channel)
        await self._record(batch.expected, submission)

    async def _record(self, expected: Expected, submission: Submission) -> None:
        self.replies.expect(expected)
        try:
            await self._store.submit(submission)
        except BaseException:
            self.replies.forget(expected.id)
            raise

    def _spanning(self, prediction_id: PredictionId, rows: Rows, model: bytes) -> Submission:
        stem = prediction_id.batch_id
        batches = []
        for number, start in enumerate(range(0, len(rows), MAX_BATCH_ROWS)):
            part = rows[start : start + MAX_BATCH_ROWS]
            batch_id = slice_id(stem, number)
            # A slice's own secret opens nothing: the prediction is found by its head.
            member = Member(bytes(SECRET_BYTES), len(part))
            message = self._publisher.message(batch_id, Queue.BULK)
            batches.append(NewBatch(batch_id, pack_rows(part), [member], message))
        head = Member(prediction_id.secret, len(rows))
        return Submission(Queue.BULK, stem, head, batches, model, self._reply_channel)


async def _answer(waiter: Waiter, wait_seconds: float) -> Prediction | None:
    """Wait for a prediction to become final; None when the wait is over first."""
    if wait_seconds <= 0:  # an answer that is there already would still be one that nobody waited for
        waiter.stop()
        return None
    patience = asyncio.get_running_loop().call_later(wait_seconds, waiter.stop)
    try:
        return await waiter.answer
    finally:
        patience.cancel()
