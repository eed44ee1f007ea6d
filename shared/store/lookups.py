"""Operations on predictions by id: look up, cancel, shorten the retention."""

import hmac
import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from shared.errors import PredictionAlreadyFinal, PredictionGone, PredictionNotFound
from shared.ids import BatchId, PredictionId
from shared.names import FailureCode, State
from shared.store.records import Answer, Failure, Member, Outcome, Provenance, unpack_members
from shared.store.schema import BatchState
from shared.store.scripts import Script
from shared.store.transport import AsyncTransport

_LOOK_UP: Final = Script.load("look_up")
_CANCEL: Final = Script.load("cancel")
_SHORTEN: Final = Script.load("shorten")

_MAX_SHORTENED_BATCHES: Final = 500
_OPEN_STATES: Final = {BatchState.QUEUED: State.QUEUED}
"""The states of predictions in open batches; in all other open states they are running."""


class Prediction(msgspec.Struct, frozen=True):
    """A prediction as recorded."""

    state: State
    rows_done: int
    rows_total: int
    model: bytes
    """The model's reference, as JSON."""
    queue_us: int | None = None
    predict_us: int | None = None
    answers: Sequence[Answer] = ()
    """The results of a succeeded prediction, one for each batch, in the order of their rows."""
    failure: Failure | None = None
    """Why a failed prediction has no result."""
    provenance: Sequence[Provenance] = ()
    """The provenance of each of its batches that is final."""


class Lookups:
    """Looks up predictions; the secret in the id authorises the read."""

    def __init__(self, transport: AsyncTransport, *, result_ttl_seconds: int, answered_ttl_seconds: int) -> None:
        self._transport = transport
        self._result_ttl_seconds = result_ttl_seconds
        self._answered_ttl_seconds = answered_ttl_seconds

    async def read(self, prediction_id: PredictionId) -> Prediction:
        """Look up a prediction.

        Raises:
            PredictionNotFound: no prediction has this id.
            PredictionGone: the prediction was final, and its retention has ended.
            RecordIncompatible: another version of Sepal wrote the record.
            BrokerUnavailable: Redis timed out.
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
            raise self._missing_error(first)
        if not reply:  # a batch's index with a parent, or the reverse: Sepal issues no such id
            raise PredictionNotFound
        now, state, raw_members, model, *fields = reply
        members = unpack_members(raw_members)
        if first.spans_batches:
            member = _find_member(first, members, 0)
            return [_decode_spanning_prediction(BatchState(state.decode()), member, model, int(now), fields)]
        mine = [_find_member(prediction_id, members, prediction_id.index) for prediction_id in prediction_ids]
        return _decode_member_predictions(BatchState(state.decode()), mine, indices, model, int(now), fields)

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Cancel a prediction.

        Raises:
            PredictionAlreadyFinal: the prediction is already final.
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `read`.
        """
        await self.read(prediction_id)  # checks the secret
        index = "" if prediction_id.spans_batches else prediction_id.index
        args = [prediction_id.batch_id, index, self._result_ttl_seconds, secrets.token_hex(8)]
        if not await self._transport.run(_CANCEL, args):
            raise PredictionAlreadyFinal

    async def shorten_retention(self, batch_ids: Sequence[BatchId]) -> None:
        """Shorten the retention of batches, all of whose predictions were returned to waiting clients.

        Open records are not changed: their predictions were returned as expired.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        for first in range(0, len(batch_ids), _MAX_SHORTENED_BATCHES):  # a long script blocks the server
            some = batch_ids[first : first + _MAX_SHORTENED_BATCHES]
            await self._transport.run(_SHORTEN, [self._answered_ttl_seconds, *some])

    def _missing_error(self, prediction_id: PredictionId) -> PredictionGone | PredictionNotFound:
        """Return the error for a missing record: its retention has ended, or, if the id is recent, it never existed."""
        shortest = min(self._result_ttl_seconds, self._answered_ttl_seconds)
        return PredictionGone() if prediction_id.age_seconds >= shortest else PredictionNotFound()


def prediction_from_outcome(
    result: Answer | Failure,
    outcome: Outcome,
    n_rows: int,
    model: bytes,
    *,
    gathered_us: int = 0,
    is_late: bool = False,
) -> Prediction:
    """Convert the committed result of a member to a prediction.

    Args:
        result: the result of the member.
        outcome: the outcome of its batch.
        n_rows: number of rows of the prediction.
        model: the model's reference, as JSON.
        gathered_us: microseconds that its rows waited in the gateway before the batch was submitted.
        is_late: whether the outcome was committed after the prediction's deadline.
    """
    queue_us, predict_us = outcome.queue_us + gathered_us, outcome.predict_us
    ran = () if outcome.provenance is None else (outcome.provenance,)
    if isinstance(result, Answer) and not is_late:
        return Prediction(
            State.SUCCEEDED, n_rows, n_rows, model, queue_us, predict_us, answers=(result,), provenance=ran
        )
    if is_late or (isinstance(result, Failure) and result.code == FailureCode.EXPIRED):
        return Prediction(State.EXPIRED, 0, n_rows, model)
    assert isinstance(result, Failure)
    return Prediction(State.FAILED, n_rows, n_rows, model, queue_us, predict_us, failure=result, provenance=ran)


def _decode_member_predictions(
    state: BatchState, members: Sequence[Member], indices: Sequence[int], model: bytes, now_us: int, fields: list[Any]
) -> list[Prediction]:
    """Decode predictions of one batch, from its outcome or, after a split, from the outcomes of its children."""
    is_split, raw_outcome, finished, *of_members = fields
    batch_outcome = Outcome.decode(raw_outcome) if raw_outcome else None
    n = len(members)
    canceled = of_members[:n]
    children = zip(of_members[n : 2 * n], of_members[2 * n :], strict=True) if is_split else [(None, None)] * n
    predictions = []
    for member, index, is_canceled, (raw_child, child_finished) in zip(
        members, indices, canceled, children, strict=True
    ):
        outcome = Outcome.decode(raw_child) if raw_child else batch_outcome
        if is_canceled:
            predictions.append(Prediction(State.CANCELED, 0, member.n_rows, model))
        elif outcome is not None:
            result = outcome.members[0 if raw_child else index]
            is_late = _is_expired_at(member, int(child_finished or finished))
            predictions.append(prediction_from_outcome(result, outcome, member.n_rows, model, is_late=is_late))
        else:
            shown = State.EXPIRED if _is_expired_at(member, now_us) else _OPEN_STATES.get(state, State.RUNNING)
            predictions.append(Prediction(shown, 0, member.n_rows, model))
    return predictions


def _decode_spanning_prediction(
    state: BatchState, member: Member, model: bytes, now_us: int, fields: list[Any]
) -> Prediction:
    """Decode the spanning prediction of a parent: each child's outcome has one member."""
    done, created, started, predict_us, finished, *outcomes = fields
    if state is not BatchState.CANCELED and _is_expired_at(member, int(finished or now_us)):
        return Prediction(State.EXPIRED, int(done), member.n_rows, model)
    decoded = [Outcome.decode(outcome) for outcome in outcomes]
    results = [outcome.members[0] for outcome in decoded]
    return Prediction(
        state=State(state.value),
        rows_done=int(done),
        rows_total=member.n_rows,
        model=model,
        queue_us=int(started) - int(created) if started else None,
        predict_us=int(predict_us),
        answers=[result for result in results if isinstance(result, Answer)],
        failure=next((result for result in results if isinstance(result, Failure)), None),
        provenance=[outcome.provenance for outcome in decoded if outcome.provenance is not None],
    )


def _is_expired_at(member: Member, time_us: int) -> bool:
    return 0 < member.deadline_us < time_us


def _find_member(prediction_id: PredictionId, members: Sequence[Member], index: int) -> Member:
    """Return the member at an index; raise PredictionNotFound if the secret of the id differs."""
    if index >= len(members) or not hmac.compare_digest(members[index].secret, prediction_id.secret):
        raise PredictionNotFound
    return members[index]
