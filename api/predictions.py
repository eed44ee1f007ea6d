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
from shared.ids import WHOLE, BatchId, PredictionId, new_batch_id, slice_id
from shared.names import Queue, State
from shared.record import Member, pack_rows

MAX_BATCH_ROWS: Final = 1024
"""A prediction with more rows is split, and goes to the bulk queue: that is how long a person waits behind it."""


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

    async def submit(self, rows: Sequence[Sequence[float]], wait_seconds: float) -> Submitted:
        """Accept rows and wait for their prediction to become final, up to `wait_seconds`.

        Raises:
            BacklogFull, BrokerUnavailable: nothing was accepted.
        """
        model = self._pulse.model_ref
        stem = new_batch_id()
        spans_batches = len(rows) > MAX_BATCH_ROWS
        queue = Queue.BULK if spans_batches else Queue.INTERACTIVE
        prediction_id = PredictionId.new(stem, WHOLE if spans_batches else 0)
        whole = Member(prediction_id.secret, len(rows))
        waiter = self._replies.expect(prediction_id, model, len(rows))
        try:
            await self._store.submit(
                Submission(
                    queue=queue,
                    stem=stem,
                    head=whole if spans_batches else None,
                    batches=self._slices(stem, rows, queue)
                    if spans_batches
                    else [self._batch(stem, rows, whole, queue)],
                    model=model,
                    reply_channel=self._replies.channel,
                )
            )
            async with asyncio.timeout(wait_seconds):
                prediction = await waiter.answer
            self._answered.append(stem)
        except TimeoutError:
            prediction = await self._unanswered(prediction_id, len(rows), model, waited=wait_seconds > 0)
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

    async def _unanswered(self, prediction_id: PredictionId, n_rows: int, model: bytes, *, waited: bool) -> Prediction:
        """Say how far a prediction is whose client is about to be given its id, whatever happens to the broker."""
        if waited:
            try:
                return await self._store.read(prediction_id)
            except BrokerUnavailable:
                pass
        return Prediction(State.QUEUED, 0, n_rows, model)

    def _slices(self, stem: BatchId, rows: Sequence[Sequence[float]], queue: Queue) -> list[NewBatch]:
        starts = range(0, len(rows), MAX_BATCH_ROWS)
        parts = [rows[start : start + MAX_BATCH_ROWS] for start in starts]
        return [
            self._batch(slice_id(stem, number), part, Member(bytes(13), len(part)), queue)
            for number, part in enumerate(parts)
        ]

    def _batch(self, batch_id: BatchId, rows: Sequence[Sequence[float]], member: Member, queue: Queue) -> NewBatch:
        return NewBatch(batch_id, pack_rows(rows), [member], self._publisher.message(batch_id, queue))
