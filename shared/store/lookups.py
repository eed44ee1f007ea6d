"""What whoever knows a prediction's id can do: look it up, cancel it, and let go of it."""

import hmac
import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from shared.errors import PredictionAlreadyFinal, PredictionGone, PredictionNotFound
from shared.ids import BatchId, PredictionId
from shared.names import FailureCode, State
from shared.store.records import Answer, Failure, Member, Outcome, unpack_members
from shared.store.schema import BatchState
from shared.store.scripts import Script
from shared.store.transport import AsyncTransport

_LOOK_UP: Final = Script.load("look_up")
_CANCEL: Final = Script.load("cancel")
_SHORTEN: Final = Script.load("shorten")

_SHORTENED_AT_ONCE: Final = 500
_UNFINISHED: Final = {BatchState.QUEUED: State.QUEUED}
"""Open states that are not shown as running."""


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


class Lookups:
    """Looks up predictions; the secret in the id authorises it."""

    def __init__(self, transport: AsyncTransport, *, result_ttl_seconds: int, answered_ttl_seconds: int) -> None:
        self._transport = transport
        self._result_ttl_seconds = result_ttl_seconds
        self._answered_ttl_seconds = answered_ttl_seconds

    async def read(self, prediction_id: PredictionId) -> Prediction:
        """Look a prediction up.

        Raises:
            PredictionNotFound: no such id was given out.
            PredictionGone: it was final, and its retention is over.
            RecordIncompatible: another version of Sepal wrote its record.
            BrokerUnavailable: Redis did not answer in time.
        """
        return (await self.read_all([prediction_id]))[0]

    async def read_all(self, prediction_ids: Sequence[PredictionId]) -> list[Prediction]:
        """Look up predictions of one batch, in one round trip.

        Raises:
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `read`.
        """
        first = prediction_ids[0]
        indices = [] if first.spans_batches else [prediction_id.index for prediction_id in prediction_ids]
        reply = await self._transport.run(_LOOK_UP, [first.batch_id, *indices])
        if reply is None:
            raise self._missing(first)
        if not reply:  # an id of the other kind was never given out
            raise PredictionNotFound
        now, state, raw_members, model, *fields = reply
        members = unpack_members(raw_members)
        if first.spans_batches:
            member = _member(first, members, 0)
            return [_spanning_prediction(BatchState(state.decode()), member, model, int(now), fields)]
        mine = [_member(prediction_id, members, prediction_id.index) for prediction_id in prediction_ids]
        return _member_predictions(BatchState(state.decode()), mine, indices, model, int(now), fields)

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Make a prediction final without a result.

        Raises:
            PredictionAlreadyFinal: too late.
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `read`.
        """
        await self.read(prediction_id)  # only who knows the whole id may cancel
        index = "" if prediction_id.spans_batches else prediction_id.index
        args = [prediction_id.batch_id, index, self._result_ttl_seconds, secrets.token_hex(8)]
        if not await self._transport.run(_CANCEL, args):
            raise PredictionAlreadyFinal

    async def shorten_retention(self, answered: Sequence[BatchId]) -> None:
        """Keep batches only briefly whose every prediction has been given to the client that waited for it.

        A record that is still open keeps no end: its client was told that it is expired.

        Raises:
            BrokerUnavailable: Redis did not answer in time.
        """
        for first in range(0, len(answered), _SHORTENED_AT_ONCE):  # a long script stops everybody
            some = answered[first : first + _SHORTENED_AT_ONCE]
            await self._transport.run(_SHORTEN, [self._answered_ttl_seconds, *some])

    def _missing(self, prediction_id: PredictionId) -> PredictionGone | PredictionNotFound:
        """Open records never expire: one that is missing was final for as long as results are kept, or never was."""
        shortest = min(self._result_ttl_seconds, self._answered_ttl_seconds)
        return PredictionGone() if prediction_id.age_seconds >= shortest else PredictionNotFound()


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


def _member_predictions(
    state: BatchState, members: Sequence[Member], indices: Sequence[int], model: bytes, now_us: int, fields: list[Any]
) -> list[Prediction]:
    """Read predictions of one batch, whose outcome is its own or, once it was split, its children's."""
    is_split, raw_outcome, finished, *of_members = fields
    whole = Outcome.decode(raw_outcome) if raw_outcome else None
    n = len(members)
    canceled = of_members[:n]
    children = zip(of_members[n : 2 * n], of_members[2 * n :], strict=True) if is_split else [(None, None)] * n
    predictions = []
    for member, index, is_canceled, (raw_child, child_finished) in zip(
        members, indices, canceled, children, strict=True
    ):
        outcome = Outcome.decode(raw_child) if raw_child else whole
        if is_canceled:
            predictions.append(Prediction(State.CANCELED, 0, member.n_rows, model))
        elif outcome is not None:
            end = outcome.members[0 if raw_child else index]
            is_late = _is_late(member, int(child_finished or finished))
            predictions.append(answered_prediction(end, outcome, member.n_rows, model, is_late=is_late))
        else:
            unfinished = State.EXPIRED if _is_late(member, now_us) else _UNFINISHED.get(state, State.RUNNING)
            predictions.append(Prediction(unfinished, 0, member.n_rows, model))
    return predictions


def _spanning_prediction(state: BatchState, member: Member, model: bytes, now_us: int, fields: list[Any]) -> Prediction:
    """Read the prediction of a parent: its children's outcomes hold that one alone."""
    done, created, started, predict_us, finished, *outcomes = fields
    if state is not BatchState.CANCELED and _is_late(member, int(finished or now_us)):
        return Prediction(State.EXPIRED, int(done), member.n_rows, model)
    ends = [Outcome.decode(outcome).members[0] for outcome in outcomes]
    return Prediction(
        state=State(state.value),
        rows_done=int(done),
        rows_total=member.n_rows,
        model=model,
        queue_us=int(started) - int(created) if started else None,
        predict_us=int(predict_us),
        answers=[end for end in ends if isinstance(end, Answer)],
        failure=next((end for end in ends if isinstance(end, Failure)), None),
    )


def _is_late(member: Member, when_us: int) -> bool:
    return 0 < member.deadline_us < when_us


def _member(prediction_id: PredictionId, members: Sequence[Member], index: int) -> Member:
    """Check that the whole id is known, and not only its batch's part."""
    if index >= len(members) or not hmac.compare_digest(members[index].secret, prediction_id.secret):
        raise PredictionNotFound
    return members[index]
