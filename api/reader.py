"""Reads predictions out of the store's records."""

import hmac
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from shared.errors import PredictionGone, PredictionNotFound
from shared.ids import PredictionId
from shared.names import State
from shared.record import Answer, Failure, Member, Outcome, batch_key, canceled_field, outcome_field, unpack_members


class Prediction(msgspec.Struct, frozen=True):
    """What the store knows of one prediction."""

    state: State
    rows_done: int
    rows_total: int
    model: bytes
    """The model's reference, as JSON."""
    queue_us: int | None = None
    predict_us: int | None = None
    answers: Sequence[Answer] = ()
    """Of a succeeded prediction: to be joined in this order."""
    failure: Failure | None = None


class Reader:
    """Finds what an id leads to, for whoever knows the whole id."""

    def __init__(self, client: Redis, shortest_retention_seconds: int) -> None:
        self._client = client
        self._shortest_retention_seconds = shortest_retention_seconds

    async def read(self, prediction_id: PredictionId) -> Prediction:
        """Look a prediction up.

        Raises:
            PredictionNotFound: no such id was given out.
            PredictionGone: it was final, and its retention is over.
        """
        return (await self.read_all([prediction_id]))[0]

    async def read_all(self, prediction_ids: Sequence[PredictionId]) -> list[Prediction]:
        """Look up predictions of one batch, in one round trip.

        Raises:
            PredictionNotFound: one of these ids was never given out.
            PredictionGone: they were final, and their retention is over.
        """
        if prediction_ids[0].spans_batches:
            return [await self._read_head(prediction_id) for prediction_id in prediction_ids]
        return await self._read_members(prediction_ids)

    async def _read_members(self, prediction_ids: Sequence[PredictionId]) -> list[Prediction]:
        first = prediction_ids[0]
        canceled_fields = [canceled_field(prediction_id.place) for prediction_id in prediction_ids]
        fields = ("state", "members", "outcome", "model", "batches", *canceled_fields)
        state, members, raw_outcome, model, batches, *canceled = await self._fields(first, *fields)
        if state is None:
            raise self._missing(first)
        if batches is not None:  # a head: its id has another place
            raise PredictionNotFound
        shares = unpack_members(members)
        outcome = Outcome.decode(raw_outcome) if raw_outcome is not None else None
        predictions = []
        for prediction_id, is_canceled in zip(prediction_ids, canceled, strict=True):
            n_rows = _n_rows(prediction_id, shares, prediction_id.place)
            if is_canceled:
                predictions.append(Prediction(State.CANCELED, 0, n_rows, model))
            elif outcome is None:
                predictions.append(Prediction(State(state.decode()), 0, n_rows, model))
            else:
                predictions.append(answered_prediction(outcome, prediction_id.place, n_rows, model))
        return predictions

    async def _read_head(self, prediction_id: PredictionId) -> Prediction:
        fields = ("state", "members", "rows_done", "batches", "failed", "created", "started", "predict_us", "model")
        state, members, done, batches, failed, created, started, predict_us, model = await self._fields(
            prediction_id, *fields
        )
        if state is None:
            raise self._missing(prediction_id)
        if batches is None:  # a batch: its predictions' ids have other places
            raise PredictionNotFound
        n_rows = _n_rows(prediction_id, unpack_members(members), 0)
        needed: Sequence[int] = ()
        if state.decode() == State.SUCCEEDED:
            needed = range(int(batches))
        elif state.decode() == State.FAILED:
            needed = (int(failed),)
        ends = await self._ends(prediction_id, needed)
        return Prediction(
            state=State(state.decode()),
            rows_done=int(done),
            rows_total=n_rows,
            model=model,
            queue_us=int(started) - int(created) if started else None,
            predict_us=int(predict_us),
            answers=[end for end in ends if isinstance(end, Answer)],
            failure=next((end for end in ends if isinstance(end, Failure)), None),
        )

    async def _ends(self, prediction_id: PredictionId, numbers: Sequence[int]) -> list[Answer | Failure]:
        """Read how batches of a spanning prediction ended: each holds that one prediction alone."""
        if not numbers:
            return []
        outcomes = await self._fields(prediction_id, *map(outcome_field, numbers))
        if None in outcomes:  # the record expired since the state was read
            raise PredictionGone
        return [Outcome.decode(outcome).members[0] for outcome in outcomes]

    async def _fields(self, prediction_id: PredictionId, *names: str) -> list[Any]:
        return await cast(Awaitable[list[Any]], self._client.hmget(batch_key(prediction_id.batch_id), list(names)))

    def _missing(self, prediction_id: PredictionId) -> PredictionGone | PredictionNotFound:
        """Open records never expire: one that is missing was final for as long as results are kept, or never was."""
        old_enough = prediction_id.age_seconds >= self._shortest_retention_seconds
        return PredictionGone() if old_enough else PredictionNotFound()


def answered_prediction(outcome: Outcome, place: int, n_rows: int, model: bytes, gathered_us: int = 0) -> Prediction:
    """Take one prediction out of the outcome of its batch.

    Args:
        outcome: of the whole batch.
        place: of the prediction in it.
        n_rows: of the prediction.
        model: the model's reference, as JSON.
        gathered_us: microseconds that its rows waited before the batch was submitted.
    """
    member = outcome.members[place]
    failed = isinstance(member, Failure)
    return Prediction(
        state=State.FAILED if failed else State.SUCCEEDED,
        rows_done=n_rows,
        rows_total=n_rows,
        model=model,
        queue_us=outcome.queue_us + gathered_us,
        predict_us=outcome.predict_us,
        answers=() if isinstance(member, Failure) else (member,),
        failure=member if isinstance(member, Failure) else None,
    )


def _n_rows(prediction_id: PredictionId, shares: Sequence[Member], place: int) -> int:
    """Check that the whole id is known, and not only its batch's part."""
    if place >= len(shares) or not hmac.compare_digest(shares[place].secret, prediction_id.secret):
        raise PredictionNotFound
    return shares[place].n_rows
