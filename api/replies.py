"""Wakes the requests that wait: one subscription for all of a gateway process's waiters.

What arrives on the reply channel is a hint and the store is the truth: waiters are looked up in the store whenever
the subscription is made anew, and every few seconds in any case.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.reader import Prediction, answered_prediction
from shared.errors import BrokerUnavailable, PredictionGone, PredictionNotFound
from shared.ids import BatchId, PredictionId
from shared.names import FINAL
from shared.record import read_announcement

_RECONNECT_SECONDS: Final = 0.5
_RECHECK_SECONDS: Final = 5.0  # the price of a lost message; a thousand waiters cost 200 reads a second

log = structlog.get_logger(__name__)

Read = Callable[[PredictionId], Awaitable[Prediction]]


@dataclass(slots=True)
class Waiter:
    """One request that waits for one prediction."""

    prediction_id: PredictionId
    model: bytes
    n_rows: int
    answer: asyncio.Future[Prediction]
    checked_at: float = field(default_factory=time.monotonic)


class Replies:
    """The waiters of this process, by batch."""

    def __init__(self, url: str, read: Read) -> None:
        self.channel = f"sepal:reply:{secrets.token_urlsafe(12)}"
        # No retries: redis-py would subscribe anew in silence, and what was published in between would be missed.
        self._client = Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=1, socket_keepalive=True)
        self._read = read
        self._subscribed = False
        self._waiters: dict[BatchId, list[Waiter]] = {}

    def expect(self, prediction_id: PredictionId, model: bytes, n_rows: int) -> Waiter:
        """Start to wait, before the prediction is submitted: its answer may be faster than the submission's."""
        waiter = Waiter(prediction_id, model, n_rows, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(prediction_id.batch_id, []).append(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Stop waiting."""
        batch_id = waiter.prediction_id.batch_id
        waiting = self._waiters.get(batch_id, [])
        if waiter in waiting:
            waiting.remove(waiter)
        if not waiting:
            self._waiters.pop(batch_id, None)

    async def listen(self) -> None:
        """Hand out answers for ever; a lost subscription is made again."""
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(self.channel)
                    self._subscribed = True
                    await self._look_up_all(time.monotonic())
                    await self._receive(subscription)
            except (RedisError, OSError, BrokerUnavailable) as error:
                if self._subscribed:  # once, not at every try to get it back
                    log.warning("lost the reply channel", reason=str(error))
            except Exception:
                log.exception("could not hand out an answer")  # its waiters are looked up like all others
            self._subscribed = False
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def recheck(self) -> None:
        """Look up what has waited for long: its message may have been lost."""
        await self._look_up_all(time.monotonic() - _RECHECK_SECONDS)

    async def _receive(self, subscription: PubSub) -> None:
        while True:
            message = await subscription.get_message(timeout=None)
            if message is not None:
                await self._dispatch(message["data"])

    async def _dispatch(self, data: bytes) -> None:
        batch_id, outcome = read_announcement(data)
        for waiter in list(self._waiters.get(batch_id, [])):
            if outcome is None:
                await self._look_up(waiter)
            else:
                place = waiter.prediction_id.place
                self._resolve(waiter, answered_prediction(outcome, place, waiter.n_rows, waiter.model))

    async def _look_up_all(self, checked_before: float) -> None:
        waiters = [waiter for waiting in self._waiters.values() for waiter in waiting]
        for waiter in waiters:
            if waiter.checked_at < checked_before:
                waiter.checked_at = time.monotonic()
                await self._look_up(waiter)

    async def _look_up(self, waiter: Waiter) -> None:
        try:
            prediction = await self._read(waiter.prediction_id)
        except (PredictionNotFound, PredictionGone):
            return  # not submitted yet
        if prediction.state in FINAL:
            self._resolve(waiter, prediction)

    def _resolve(self, waiter: Waiter, prediction: Prediction) -> None:
        if not waiter.answer.done():
            waiter.answer.set_result(prediction)
