"""Reads predictions out of the store's records."""

import hmac
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from shared.errors import PredictionGone, PredictionNotFound
from shared.ids import PredictionId
from shared.names import FailureCode, State
from shared.record import (
    Answer,
    Failure,
    Member,
    Outcome,
    batch_key,
    canceled_field,
    finished_field,
    outcome_field,
    unpack_members,
)

_OPEN_STATES: Final = {b"queued": State.QUEUED, b"running": State.RUNNING, b"exhausted": State.RUNNING}


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
    """Of a failed one."""


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
        """Look up predictions of one batch, in one round trip; in two where it was split.

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
        fields = ("state", "members", "outcome", "finished", "model", "batches", "split", *canceled_fields)
        now_us, record = await self._fields(first, *fields)
        state, members, outcome, finished, model, batches, split, *canceled = record
        if state is None:
            raise self._missing(first)
        if batches is not None:  # a head: its id has another place
            raise PredictionNotFound
        shares = unpack_members(members)
        mine = [_share(prediction_id, shares, prediction_id.place) for prediction_id in prediction_ids]
        places = [prediction_id.place for prediction_id in prediction_ids]
        if split:
            ends = await self._ends_of_split(first, places)
        else:
            whole = (Outcome.decode(outcome), int(finished)) if outcome else None
            ends = [(whole[0].members[place], *whole) if whole else None for place in places]
        unfinished = _OPEN_STATES.get(state, State.RUNNING)
        return [
            Prediction(State.CANCELED, 0, share.n_rows, model)
            if is_canceled
            else _member_prediction(share, model, end, unfinished, now_us)
            for share, is_canceled, end in zip(mine, canceled, ends, strict=True)
        ]

    async def _ends_of_split(
        self, prediction_id: PredictionId, places: Sequence[int]
    ) -> list[tuple[Answer | Failure, Outcome, int] | None]:
        """Read how the batches of single members ended, and when."""
        fields = [name for place in places for name in (outcome_field(place), finished_field(place))]
        _, values = await self._fields(prediction_id, *fields)
        ends: list[tuple[Answer | Failure, Outcome, int] | None] = []
        for raw, finished in zip(values[::2], values[1::2], strict=True):
            outcome = Outcome.decode(raw) if raw else None
            ends.append((outcome.members[0], outcome, int(finished)) if outcome else None)
        return ends

    async def _read_head(self, prediction_id: PredictionId) -> Prediction:
        fields = (
            *("state", "members", "rows_done", "batches", "failed"),
            *("created", "started", "predict_us", "model", "finished"),
        )
        now_us, record = await self._fields(prediction_id, *fields)
        state, members, done, batches, failed, created, started, predict_us, model, finished = record
        if state is None:
            raise self._missing(prediction_id)
        if batches is None:  # a batch: its predictions' ids have other places
            raise PredictionNotFound
        share = _share(prediction_id, unpack_members(members), 0)
        if state != b"canceled" and _is_late(share.deadline_us, int(finished or now_us)):
            return Prediction(State.EXPIRED, int(done), share.n_rows, model)
        needed: Sequence[int] = ()
        if state.decode() == State.SUCCEEDED:
            needed = range(int(batches))
        elif state.decode() == State.FAILED:
            needed = (int(failed),)
        ends = await self._ends(prediction_id, needed)
        return Prediction(
            state=State(state.decode()),
            rows_done=int(done),
            rows_total=share.n_rows,
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
        _, outcomes = await self._fields(prediction_id, *map(outcome_field, numbers))
        if None in outcomes:  # the record expired since the state was read
            raise PredictionGone
        return [Outcome.decode(outcome).members[0] for outcome in outcomes]

    async def _fields(self, prediction_id: PredictionId, *names: str) -> tuple[int, list[Any]]:
        """Read the store's clock, in microseconds since 1970, and then fields of the record.

        In this order: whoever commits after the clock was read commits later than it said.
        """
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        pipeline.hmget(batch_key(prediction_id.batch_id), list(names))
        (seconds, microseconds), values = await pipeline.execute()
        return seconds * 1_000_000 + microseconds, values

    def _missing(self, prediction_id: PredictionId) -> PredictionGone | PredictionNotFound:
        """Open records never expire: one that is missing was final for as long as results are kept, or never was."""
        old_enough = prediction_id.age_seconds >= self._shortest_retention_seconds
        return PredictionGone() if old_enough else PredictionNotFound()


def answered_prediction(
    end: Answer | Failure, outcome: Outcome, n_rows: int, model: bytes, *, gathered_us: int = 0, is_late: bool = False
) -> Prediction:
    """Write what a worker committed as the prediction it is.

    Args:
        end: of this prediction.
        outcome: of its batch.
        n_rows: of the prediction.
        model: the model's reference, as JSON.
        gathered_us: microseconds that its rows waited before the batch was submitted.
        is_late: it was committed after the prediction's deadline.
    """
    queue_us, predict_us = outcome.queue_us + gathered_us, outcome.predict_us
    if isinstance(end, Answer) and not is_late:
        return Prediction(State.SUCCEEDED, n_rows, n_rows, model, queue_us, predict_us, (end,))
    if is_late or (isinstance(end, Failure) and end.code == FailureCode.EXPIRED):
        return Prediction(State.EXPIRED, 0, n_rows, model)
    assert isinstance(end, Failure)
    return Prediction(State.FAILED, n_rows, n_rows, model, queue_us, predict_us, failure=end)


def _member_prediction(
    share: Member, model: bytes, end: tuple[Answer | Failure, Outcome, int] | None, unfinished: State, now_us: int
) -> Prediction:
    if end is not None:
        member, outcome, finished_us = end
        is_late = _is_late(share.deadline_us, finished_us)
        return answered_prediction(member, outcome, share.n_rows, model, is_late=is_late)
    state = State.EXPIRED if _is_late(share.deadline_us, now_us) else unfinished
    return Prediction(state, 0, share.n_rows, model)


def _is_late(deadline_us: int, when_us: int) -> bool:
    return 0 < deadline_us < when_us


def _share(prediction_id: PredictionId, shares: Sequence[Member], place: int) -> Member:
    """Check that the whole id is known, and not only its batch's part."""
    if place >= len(shares) or not hmac.compare_digest(shares[place].secret, prediction_id.secret):
        raise PredictionNotFound
    return shares[place]
