"""The gateway's half of the store: record and publish, read, cancel, and look at the whole."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.clock import NEVER_US, StoreClock
from api.link import Argument, Link, Script
from api.reader import Prediction, Reader
from shared.errors import BacklogFull, BrokerUnavailable, PredictionAlreadyFinal
from shared.ids import BatchId, PredictionId
from shared.names import Queue
from shared.record import (
    BACKLOG_KEY,
    DEAD_LETTERS_KEY,
    MEMBER_BYTES,
    MODEL_KEY,
    REPLY_CHANNEL_PREFIX,
    WORKERS_KEY,
    Member,
    Origin,
    batch_key,
    counter_fields,
    pack_members,
    pack_origins,
)
from shared.scripts import script

_SOCKET_TIMEOUT_SECONDS: Final = 0.8
_OPERATION_TIMEOUT_SECONDS: Final = 1.8  # a request that finds the broker frozen is refused within two seconds
_MAX_CONNECTIONS: Final = 32
_UNAVAILABLE: Final = ("MISCONF", "OOM", "READONLY", "LOADING", "NOREPLICAS")  # as Redis's own texts begin


@dataclass(frozen=True, slots=True)
class NewBatch:
    """One batch about to be recorded."""

    id: BatchId
    rows: bytes
    """float64, row-major."""
    members: Sequence[Member]
    message: str
    """For the broker: has a worker run this batch."""
    origins: Mapping[int, Origin] = field(default_factory=dict)
    """By the members' places, of those that have one."""

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
    idempotency: Mapping[str, str] = field(default_factory=dict)
    """From the keys of its predictions, as the store names them, to what those are to hold."""
    latest_us: int = NEVER_US
    """By the store's clock: later it is refused."""

    @property
    def n_predictions(self) -> int:
        """Predictions that are accepted with it."""
        return 1 if self.head else sum(len(batch.members) for batch in self.batches)

    @property
    def n_rows(self) -> int:
        """Rows of all its batches."""
        return sum(batch.n_rows for batch in self.batches)


@dataclass(frozen=True, slots=True)
class Overview:
    """What a gateway looks at every second."""

    card: bytes | None
    gateways: int
    """Gateway processes that listen for replies."""
    workers: int
    """Living ones with a pool process that holds the model."""
    pool_processes: int
    """Of all of them, those that hold the model."""
    accepted_rows: Mapping[Queue, int]
    final_rows: Mapping[Queue, int]
    oldest_seconds: Mapping[Queue, float]
    """Age of the oldest batch that no worker has claimed; 0 where there is none."""
    dead_letters: int
    memory_bytes: int
    """That the server uses."""
    memory_limit_bytes: int
    """Its `maxmemory`; 0 for none."""

    def backlog(self, *queues: Queue) -> int:
        """Rows of these queues that were accepted and are not yet final."""
        return sum(self.accepted_rows[queue] - self.final_rows[queue] for queue in queues)

    @property
    def drained_rows(self) -> int:
        """Rows that have ever become final."""
        return sum(self.final_rows.values())


_SUBMIT: Final = Script(script("submit"))


class Store:
    """Everything the gateway asks of Redis: submissions over the link, all else over redis-py's pool."""

    def __init__(
        self, client: Redis, link: Link, *, max_backlog_rows: int, result_ttl_seconds: int, answered_ttl_seconds: int
    ):
        self.client = client
        self.clock = StoreClock()
        self._link = link
        self._max_backlog_rows = max_backlog_rows
        self._result_ttl_seconds = result_ttl_seconds
        self._answered_ttl_seconds = answered_ttl_seconds
        self._reader = Reader(client, min(result_ttl_seconds, answered_ttl_seconds))
        self._cancel = client.register_script(script("cancel"))
        self._oldest = client.register_script(script("oldest"))

    @classmethod
    def connect(
        cls, url: str, link: Link, *, max_backlog_rows: int, result_ttl_seconds: int, answered_ttl_seconds: int
    ) -> Self:
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
            link,
            max_backlog_rows=max_backlog_rows,
            result_ttl_seconds=result_ttl_seconds,
            answered_ttl_seconds=answered_ttl_seconds,
        )

    async def submit(self, submission: Submission) -> None:
        """Record the batches and publish their messages, in one step.

        Raises:
            BacklogFull: nothing was written.
            BrokerUnavailable: Redis did not answer in time; if it comes to the submission later, it refuses it.
        """
        batches = submission.batches
        keys = [submission.queue.value, batch_key(submission.stem)]
        keys += [batch_key(batch.id) for batch in batches]
        args: list[Argument] = [
            self._max_backlog_rows,
            submission.n_rows,
            pack_members([submission.head]) if submission.head else b"",
            submission.model,
            submission.reply_channel,
            min(self.clock.in_seconds(_OPERATION_TIMEOUT_SECONDS), submission.latest_us),
            len(submission.idempotency),
        ]
        for key, value in submission.idempotency.items():
            args += [key, value]
        for batch in batches:
            args += [batch.id, batch.rows, batch.n_rows, pack_members(batch.members), batch.message]
            args.append(pack_origins(batch.origins))
        async with broker_errors():
            accepted = await self._link.run(_SUBMIT, keys, args)
        if accepted < 0:
            raise BrokerUnavailable
        if not accepted:
            raise BacklogFull

    async def read(self, prediction_id: PredictionId) -> Prediction:
        """Look a prediction up.

        Raises:
            PredictionNotFound: no such id was given out.
            PredictionGone: it was final, and its retention is over.
            BrokerUnavailable: Redis did not answer in time.
        """
        async with broker_errors():
            return await self._reader.read(prediction_id)

    async def read_all(self, prediction_ids: Sequence[PredictionId]) -> list[Prediction]:
        """Look up predictions of one batch, in one round trip.

        Raises:
            PredictionNotFound, PredictionGone, BrokerUnavailable: as `read`.
        """
        async with broker_errors():
            return await self._reader.read_all(prediction_ids)

    async def cancel(self, prediction_id: PredictionId) -> None:
        """Make a prediction final without a result.

        Raises:
            PredictionAlreadyFinal: too late.
            PredictionNotFound, PredictionGone, BrokerUnavailable: as `read`.
        """
        batch_id = prediction_id.batch_id
        place = "" if prediction_id.spans_batches else prediction_id.place
        hint = f"{batch_id} 0 "
        async with broker_errors():
            await self._reader.read(prediction_id)  # only who knows the whole id may cancel
            canceled = await self._cancel(
                [batch_key(batch_id)],
                [place, self._result_ttl_seconds, hint, secrets.token_hex(8), batch_id, MEMBER_BYTES],
            )
        if not canceled:
            raise PredictionAlreadyFinal

    async def shorten_retention(self, answered: Sequence[BatchId]) -> None:
        """Keep batches only briefly whose every prediction has been given to the client that waited for it.

        A record that is still open, for a client was told that it is expired, stays so.
        """
        pipeline = self.client.pipeline(transaction=False)
        for batch_id in answered:
            pipeline.expire(batch_key(batch_id), self._answered_ttl_seconds, xx=True, lt=True)
        async with broker_errors():
            await pipeline.execute()

    async def overview(self) -> Overview:
        """Read the model card, the living workers and the backlog.

        Raises:
            BrokerUnavailable: Redis did not answer in time.
        """
        pipeline = self.client.pipeline(transaction=False)
        pipeline.get(MODEL_KEY)
        pipeline.hgetall(WORKERS_KEY)
        pipeline.hmget(BACKLOG_KEY, counter_fields("accepted") + counter_fields("final"))
        pipeline.pubsub_channels(REPLY_CHANNEL_PREFIX + "*")
        await self._oldest([queue.value for queue in Queue], client=pipeline)
        pipeline.zcard(DEAD_LETTERS_KEY)
        pipeline.info("memory")
        pipeline.time()
        try:
            async with broker_errors():
                card, workers, counters, channels, oldest, letters, memory, now = await pipeline.execute()
        except BrokerUnavailable:
            # Connections may be open at this end alone, each of them for a timeout more: new ones will tell.
            await self.client.connection_pool.disconnect(inuse_connections=False)
            raise
        now_us = now[0] * 1_000_000 + now[1]
        self.clock.set(now_us)
        accepted, final = (
            {queue: int(count or 0) for queue, count in zip(Queue, counts, strict=True)}
            for counts in (counters[: len(Queue)], counters[len(Queue) :])
        )
        announced = [value.split() for value in workers.values()]
        loaded = [int(processes) for until_ms, processes, *_ in announced if int(until_ms) >= now_us // 1000]
        return Overview(
            card=card,
            gateways=len(channels),
            workers=sum(1 for processes in loaded if processes),
            pool_processes=sum(loaded),
            accepted_rows=accepted,
            final_rows=final,
            oldest_seconds={
                queue: max(0, now_us - int(created)) / 1e6 if created else 0
                for queue, created in zip(Queue, oldest, strict=True)
            },
            dead_letters=letters,
            memory_bytes=memory["used_memory"],
            memory_limit_bytes=memory["maxmemory"],
        )


@asynccontextmanager
async def broker_errors() -> AsyncIterator[None]:
    """Bound an operation in time, and name what a client can do about a broker that is away, full or a replica."""
    try:
        async with asyncio.timeout(_OPERATION_TIMEOUT_SECONDS):
            yield
    except (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError, OSError) as error:
        raise BrokerUnavailable from error
    except ResponseError as error:
        if str(error).startswith(_UNAVAILABLE):
            raise BrokerUnavailable from error
        raise  # a bug of ours
