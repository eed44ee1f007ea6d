"""The gateway's half of the store: record and publish, read, cancel, and look at the whole."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.submitter import Submitter
from shared.errors import BacklogFull, BrokerUnavailable, PredictionAlreadyFinal, PredictionGone, PredictionNotFound
from shared.ids import BatchId, PredictionId
from shared.names import Queue, State
from shared.record import (
    BACKLOG_KEY,
    MODEL_KEY,
    WORKERS_KEY,
    Answer,
    Failure,
    Member,
    Outcome,
    batch_key,
    canceled_field,
    outcome_field,
    pack_members,
    unpack_members,
    write_announcement,
)
from shared.scripts import script

_SOCKET_TIMEOUT_SECONDS: Final = 0.8
_SUBMIT_TIMEOUT_SECONDS: Final = 1.8  # a request that finds the broker frozen is refused within two seconds
_MAX_CONNECTIONS: Final = 32

_COMMITTED: Final = "committed"


@dataclass(frozen=True, slots=True)
class NewBatch:
    """One batch about to be recorded."""

    id: BatchId
    rows: bytes
    """float64, row-major."""
    members: Sequence[Member]
    message: str
    """For the broker: has a worker run this batch."""

    @property
    def n_rows(self) -> int:
        """Rows of all its members."""
        return sum(member.n_rows for member in self.members)


@dataclass(frozen=True, slots=True)
class Submission:
    """Batches that are accepted together or not at all."""

    queue: Queue
    stem: BatchId
    """Of the record that the client's id leads to: the only batch, or the head over all of them."""
    head: Member | None
    """The prediction that spans these batches."""
    batches: Sequence[NewBatch]
    model: bytes
    """The model's reference, as JSON."""
    reply_channel: str


@dataclass(frozen=True, slots=True)
class Prediction:
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


@dataclass(frozen=True, slots=True)
class Overview:
    """What a gateway looks at every second."""

    card: bytes | None
    pool_processes: int
    """Living ones that hold a model."""
    accepted_rows: int
    final_rows: int

    @property
    def backlog(self) -> int:
        """Rows accepted and not yet final."""
        return self.accepted_rows - self.final_rows


class Store:
    """Everything the gateway asks of Redis, except the reply channel's subscription."""

    def __init__(self, client: Redis, *, max_backlog_rows: int, result_ttl_seconds: int, answered_ttl_seconds: int):
        self.client = client
        self._max_backlog_rows = max_backlog_rows
        self._result_ttl_seconds = result_ttl_seconds
        self._answered_ttl_seconds = answered_ttl_seconds
        self._submit = Submitter(client)
        self._cancel = client.register_script(script("cancel"))

    @classmethod
    def connect(cls, url: str, *, max_backlog_rows: int, result_ttl_seconds: int, answered_ttl_seconds: int) -> Self:
        """Make a store whose every operation ends within two seconds. Opens no connection yet."""
        # One retry, and only of a lost connection: a pooled one may have died with the broker since its last use.
        # Every script may run twice without harm.
        retry = Retry(ConstantBackoff(0.01), 1, supported_errors=(RedisConnectionError,))
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=_SOCKET_TIMEOUT_SECONDS,
            retry=retry,
        )
        return cls(
            Redis.from_pool(pool),
            max_backlog_rows=max_backlog_rows,
            result_ttl_seconds=result_ttl_seconds,
            answered_ttl_seconds=answered_ttl_seconds,
        )

    async def submit(self, submission: Submission) -> None:
        """Record the batches and publish their messages, in one step.

        Raises:
            BacklogFull: nothing was written.
            BrokerUnavailable: Redis did not answer in time.
        """
        batches = submission.batches
        keys = [BACKLOG_KEY, submission.queue.value, batch_key(submission.stem)]
        keys += [batch_key(batch.id) for batch in batches]
        args: list[str | bytes | int] = [
            self._max_backlog_rows,
            sum(batch.n_rows for batch in batches),
            pack_members([submission.head]) if submission.head else b"",
            submission.model,
            submission.reply_channel,
        ]
        for batch in batches:
            args += [batch.rows, batch.n_rows, pack_members(batch.members), batch.message]
        with _broker_errors():
            async with asyncio.timeout(_SUBMIT_TIMEOUT_SECONDS):
                accepted = await self._submit(keys, args)
        if not accepted:
            raise BacklogFull

    async def read(self, prediction_id: PredictionId) -> Prediction:
        """Look a prediction up.

        Raises:
            PredictionNotFound: no such id was given out.
            PredictionGone: it was final, and its retention is over.
            BrokerUnavailable: Redis did not answer in time.
        """
        with _broker_errors():
            if prediction_id.spans_batches:
                return await self._read_head(prediction_id)
            return await self._read_member(prediction_id)

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Make a prediction final without a result.

        Raises:
            PredictionAlreadyFinal: too late.
            PredictionNotFound, PredictionGone, BrokerUnavailable: as `read`.
        """
        await self.read(prediction_id)
        place = "" if prediction_id.spans_batches else prediction_id.place
        with _broker_errors():
            canceled = await self._cancel(
                [batch_key(prediction_id.batch_id), BACKLOG_KEY],
                [place, self._result_ttl_seconds, write_announcement(prediction_id.batch_id, b"")],
            )
        if not canceled:
            raise PredictionAlreadyFinal

    async def shorten_retention(self, answered: Sequence[BatchId]) -> None:
        """Keep batches only briefly whose every prediction has been given to the client that waited for it."""
        pipeline = self.client.pipeline(transaction=False)
        for batch_id in answered:
            pipeline.expire(batch_key(batch_id), self._answered_ttl_seconds, lt=True)
        with _broker_errors():
            await pipeline.execute()

    async def overview(self) -> Overview:
        """Read the model card, the living workers and the backlog, in one round trip.

        Raises:
            BrokerUnavailable: Redis did not answer in time.
        """
        pipeline = self.client.pipeline(transaction=False)
        pipeline.get(MODEL_KEY)
        pipeline.hgetall(WORKERS_KEY)
        pipeline.hmget(BACKLOG_KEY, ["accepted", "final"])
        pipeline.time()
        with _broker_errors():
            card, workers, (accepted, final), (seconds, _) = await pipeline.execute()
            leases = {name: value.split() for name, value in workers.items()}
            dead = [name for name, (until_ms, _) in leases.items() if float(until_ms) / 1000 < seconds]
            if dead:
                await self.client.hdel(WORKERS_KEY, *dead)
        return Overview(
            card=card,
            pool_processes=sum(int(processes) for name, (_, processes) in leases.items() if name not in dead),
            accepted_rows=int(accepted or 0),
            final_rows=int(final or 0),
        )

    async def _read_member(self, prediction_id: PredictionId) -> Prediction:
        place = prediction_id.place
        state, members, outcome, canceled, model = await self._fields(
            prediction_id, "state", "members", "outcome", canceled_field(place), "model"
        )
        if state is None:
            raise self._missing(prediction_id)
        shares = unpack_members(members)
        if place >= len(shares) or not hmac.compare_digest(shares[place].secret, prediction_id.secret):
            raise PredictionNotFound
        n_rows = shares[place].n_rows
        if canceled:
            return Prediction(State.CANCELED, 0, n_rows, model)
        if state.decode() != _COMMITTED:
            return Prediction(State(state.decode()), 0, n_rows, model)
        return answered_prediction(Outcome.decode(outcome), place, n_rows, model)

    async def _read_head(self, prediction_id: PredictionId) -> Prediction:
        fields = ("state", "members", "n_rows", "rows_done", "batches", "created", "started", "predict_us", "model")
        state, members, total, done, batches, created, started, predict_us, model = await self._fields(
            prediction_id, *fields
        )
        if state is None:
            raise self._missing(prediction_id)
        if not members or not hmac.compare_digest(unpack_members(members)[0].secret, prediction_id.secret):
            raise PredictionNotFound
        final_state = State(state.decode())
        answers: list[Answer] = []
        failure = None
        if final_state is State.SUCCEEDED:
            answers = [answer async for answer in self._outcomes(prediction_id, int(batches))]
        elif final_state is State.FAILED:
            failure = await self._failure(prediction_id)
        return Prediction(
            state=final_state,
            rows_done=int(done),
            rows_total=int(total),
            model=model,
            queue_us=int(started) - int(created) if started else None,
            predict_us=int(predict_us),
            answers=answers,
            failure=failure,
        )

    async def _outcomes(self, prediction_id: PredictionId, batches: int) -> AsyncIterator[Answer]:
        for raw in await self._fields(prediction_id, *(outcome_field(number) for number in range(batches))):
            (answer,) = Outcome.decode(raw).members
            yield cast(Answer, answer)

    async def _failure(self, prediction_id: PredictionId) -> Failure:
        (number,) = await self._fields(prediction_id, "failed")
        (raw,) = await self._fields(prediction_id, outcome_field(int(number)))
        (failure,) = Outcome.decode(raw).members
        return cast(Failure, failure)

    async def _fields(self, prediction_id: PredictionId, *names: str) -> list[Any]:
        return await cast(Awaitable[list[Any]], self.client.hmget(batch_key(prediction_id.batch_id), list(names)))

    def _missing(self, prediction_id: PredictionId) -> PredictionGone | PredictionNotFound:
        """Open records never expire: one that is missing was final for as long as results are kept, or never was."""
        shortest = min(self._answered_ttl_seconds, self._result_ttl_seconds)
        return PredictionGone() if prediction_id.age_seconds >= shortest else PredictionNotFound()


def answered_prediction(outcome: Outcome, place: int, n_rows: int, model: bytes) -> Prediction:
    """Take one prediction out of the outcome of its batch."""
    member = outcome.members[place]
    failed = isinstance(member, Failure)
    return Prediction(
        state=State.FAILED if failed else State.SUCCEEDED,
        rows_done=n_rows,
        rows_total=n_rows,
        model=model,
        queue_us=outcome.queue_us,
        predict_us=outcome.predict_us,
        answers=() if isinstance(member, Failure) else (member,),
        failure=member if isinstance(member, Failure) else None,
    )


@contextmanager
def _broker_errors() -> Iterator[None]:
    """Name what a client can do about a broker that is away, full or starting; a bug in a script stays a bug."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, OSError) as error:
        raise BrokerUnavailable from error
