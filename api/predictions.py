"""From validated rows to an answer, or to an id that will have one: submit, wait, look up, cancel."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.publisher import Publisher
from api.pulse import Pulse
from api.reader import Prediction
from api.replies import Replies
from api.store import NewBatch, Store, Submission
from shared.errors import BrokerUnavailable
from shared.ids import SECRET_BYTES, WHOLE, BatchId, PredictionId, new_batch_id, slice_id
from shared.names import Queue, State
from shared.record import Member, pack_rows

MAX_BATCH_ROWS: Final = 1024
"""A prediction with more rows is split, and goes to the bulk queue: that is how long a person waits behind it."""

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What has become of a prediction by the time its client is answered."""

    id: PredictionId
    prediction: Prediction


class Predictions:
    """The gateway's whole business with predictions."""

    def __init__(self, store: Store, publisher: Publisher, replies: Replies, pulse: Pulse) -> None:
        self._store = store
        self._publisher = publisher
        self._replies = replies
        self._pulse = pulse
        self._answered: list[BatchId] = []

    async def submit(self, rows: Rows, wait_seconds: float) -> Submitted:
        """Accept rows and wait for their prediction to become final, up to `wait_seconds`.

        Raises:
            BacklogFull, BrokerUnavailable: the client gets no id.
        """
        spans_batches = len(rows) > MAX_BATCH_ROWS
        prediction_id = PredictionId.new(new_batch_id(), WHOLE if spans_batches else 0)
        submission = self._spanning(prediction_id, rows) if spans_batches else self._single(prediction_id, rows)
        if wait_seconds <= 0:  # an answer that is there already would still be one that nobody waited for
            await self._store.submit(submission)
            return Submitted(prediction_id, Prediction(State.QUEUED, 0, len(rows), submission.model))
        waiter = self._replies.expect(prediction_id, submission.model, len(rows))
        try:
            await self._store.submit(submission)
            async with asyncio.timeout(wait_seconds):
                prediction = await waiter.answer
            self._answered.append(prediction_id.batch_id)
        except TimeoutError:
            prediction = await self._unanswered(prediction_id, len(rows), submission.model)
        finally:
            self._replies.forget(waiter)
        return Submitted(prediction_id, prediction)

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
        await self._replies.recheck()
        if self._answered:
            answered, self._answered = self._answered, []
            await self._store.shorten_retention(answered)

    async def _unanswered(self, prediction_id: PredictionId, n_rows: int, model: bytes) -> Prediction:
        """Say how far a prediction is whose client is about to be given its id, whatever happens to the broker."""
        try:
            return await self._store.read(prediction_id)
        except BrokerUnavailable:
            return Prediction(State.QUEUED, 0, n_rows, model)

    def _single(self, prediction_id: PredictionId, rows: Rows) -> Submission:
        batch = self._batch(prediction_id.batch_id, rows, prediction_id.secret, Queue.INTERACTIVE)
        return self._submission(prediction_id, Queue.INTERACTIVE, None, [batch])

    def _spanning(self, prediction_id: PredictionId, rows: Rows) -> Submission:
        stem = prediction_id.batch_id
        batches = [
            # A slice's own secret opens nothing: the prediction is found by its head.
            self._batch(slice_id(stem, number), rows[start : start + MAX_BATCH_ROWS], bytes(SECRET_BYTES), Queue.BULK)
            for number, start in enumerate(range(0, len(rows), MAX_BATCH_ROWS))
        ]
        return self._submission(prediction_id, Queue.BULK, Member(prediction_id.secret, len(rows)), batches)

    def _submission(
        self, prediction_id: PredictionId, queue: Queue, head: Member | None, batches: list[NewBatch]
    ) -> Submission:
        return Submission(
            queue=queue,
            stem=prediction_id.batch_id,
            head=head,
            batches=batches,
            model=self._pulse.model_ref,
            reply_channel=self._replies.channel,
        )

    def _batch(self, batch_id: BatchId, rows: Rows, secret: bytes, queue: Queue) -> NewBatch:
        member = Member(secret, len(rows))
        return NewBatch(batch_id, pack_rows(rows), [member], self._publisher.message(batch_id, queue))
