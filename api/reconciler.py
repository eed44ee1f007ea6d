"""Puts back what no queue and no living worker holds any more, and finds the culprit of a batch that nobody survives.

The script does the first, in one step, whichever gateways run it (`shared/scripts/reconcile.lua`). A batch whose
attempts are used up needs new messages: it is split into one batch for each of its predictions, and one that was alone
is buried as a dead letter.
"""

from typing import Any, Final, cast

import structlog
from redis.asyncio import Redis

from api.metrics import GatewayMetrics
from api.publisher import Publisher
from api.store import broker_errors
from shared.errors import BrokerUnavailable
from shared.ids import SECRET_BYTES, WHOLE, BatchId, PredictionId, slice_id, split_slice_id
from shared.names import FailureCode, Queue
from shared.record import (
    ANNOUNCEMENT_SECONDS,
    Failure,
    Member,
    Outcome,
    batch_key,
    canceled_field,
    pack_members,
    pack_origins,
    unpack_members,
    unpack_origins,
)
from shared.scripts import script

_LOOK_MS: Final = 900  # of all gateways together, each of which asks once a second
_AWAY_MS: Final = 3000

log = structlog.get_logger(__name__)


class Reconciler:
    """One look at a time."""

    def __init__(
        self,
        client: Redis,
        publisher: Publisher,
        metrics: GatewayMetrics,
        *,
        max_attempts: int,
        result_ttl_seconds: int,
        dead_letter_ttl_seconds: int,
    ) -> None:
        self._client = client
        self._publisher = publisher
        self._metrics = metrics
        self._max_attempts = max_attempts
        self._result_ttl_seconds = result_ttl_seconds
        self._dead_letter_ttl_seconds = dead_letter_ttl_seconds
        self._reconcile = client.register_script(script("reconcile"))
        self._split = client.register_script(script("split"))
        self._bury = client.register_script(script("bury"))

    async def tick(self) -> None:
        """Look once; a broker that cannot be reached is looked at again at the next tick."""
        try:
            async with broker_errors():
                published, given_back, *exhausted = await self._reconcile(
                    [queue.value for queue in Queue],
                    [
                        _LOOK_MS,
                        _AWAY_MS,
                        ANNOUNCEMENT_SECONDS * 1000,
                        self._max_attempts,
                        self._dead_letter_ttl_seconds,
                    ],
                )
                self._metrics.reconciled(published, given_back)
                for batch_id in exhausted:
                    await self._find_culprit(BatchId(batch_id.decode()))
        except BrokerUnavailable:
            return
        if published or given_back:
            log.warning("put batches back", published_again=published, of_lost_workers=given_back)

    async def _find_culprit(self, batch_id: BatchId) -> None:
        record = cast(dict[bytes, bytes], await self._client.hgetall(batch_key(batch_id)))
        if record.get(b"state") == b"split":  # by another gateway, just now
            return
        members = unpack_members(record.get(b"members", b""))
        living = [place for place in range(len(members)) if canceled_field(place).encode() not in record]
        if len(members) > 1 and living:
            await self._split_batch(batch_id, record, members, living)
        else:  # alone, or given up meanwhile, as the script will see
            await self._bury_batch(batch_id, members, record.get(b"queue", b""))

    async def _split_batch(
        self, batch_id: BatchId, record: dict[bytes, bytes], members: list[Member], living: list[int]
    ) -> None:
        queue = Queue(record[b"queue"].decode())
        row_bytes = len(record[b"rows"]) // sum(member.n_rows for member in members)
        origins = unpack_origins(record.get(b"origins"))
        parts: list[Any] = []
        start = 0
        for place, member in enumerate(members):
            end = start + member.n_rows * row_bytes
            if place in living:
                message = self._publisher.message(slice_id(batch_id, place), queue, member.n_rows, 1)
                origin = pack_origins({0: origins[place]} if place in origins else {})
                parts += [place, record[b"rows"][start:end], member.n_rows, pack_members([member]), message, origin]
            start = end
        n_canceled = sum(member.n_rows for place, member in enumerate(members) if place not in living)
        if await self._split([], [batch_id, n_canceled, *parts]):
            self._metrics.split()
            log.warning("split a batch to find what ends its attempts", batch=batch_id, predictions=len(living))

    async def _bury_batch(self, batch_id: BatchId, members: list[Member], queue: bytes) -> None:
        detail = (
            f"Each of {self._max_attempts} attempts at these rows, alone, ended with the loss of its process or at its "
            "time limit; they are kept as a dead letter."
        )
        outcome = Outcome(0, 0, [Failure(FailureCode.POISON, detail)] * len(members))
        stem, number = split_slice_id(batch_id) or (batch_id, "")
        prediction_id = await self._prediction_id(batch_id, members)
        keys = [batch_key(batch_id), batch_key(stem)]
        seconds = self._result_ttl_seconds, self._dead_letter_ttl_seconds
        args: list[str | int | bytes] = [batch_id, outcome.encode(), seconds[0], stem, number]
        args += [seconds[1], str(prediction_id)]
        if await self._bury(keys, args):
            self._metrics.buried(Queue(queue.decode()))
            log.error("buried a batch as a dead letter", batch=batch_id)

    async def _prediction_id(self, batch_id: BatchId, members: list[Member]) -> PredictionId:
        """The id of the prediction whose rows are alone in a batch."""
        secret = members[0].secret if members else bytes(SECRET_BYTES)
        part = split_slice_id(batch_id)
        if part is None:
            return PredictionId(batch_id, 0, secret)
        stem, number = part
        is_split, head = cast(list[bytes | None], await self._client.hmget(batch_key(stem), ["split", "members"]))
        if is_split:
            return PredictionId(stem, number, secret)
        return PredictionId(stem, WHOLE, unpack_members(head)[0].secret if head else secret)
