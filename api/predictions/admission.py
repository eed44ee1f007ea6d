"""Decides whether a prediction may be submitted: its deadline must be reachable, and its idempotency key unused."""

import math

from api.cluster.backlog import BacklogForecast
from shared.errors import DeadlineUnreachable
from shared.ids import PredictionId
from shared.names import Queue
from shared.store.clock import StoreClock
from shared.store.idempotency import RESERVED_SECONDS, IdempotencyKey, IdempotencyKeys


class Admission:
    """Checks a prediction before its rows join a batch."""

    def __init__(self, clock: StoreClock, backlog: BacklogForecast, idempotency_keys: IdempotencyKeys) -> None:
        self._clock = clock
        self._backlog = backlog
        self._idempotency = idempotency_keys

    def deadline_us(self, seconds: float | None, queue: Queue) -> int:
        """Convert a deadline to the store's clock.

        Args:
            seconds: from now; None for no deadline.
            queue: the queue that the rows would join.

        Returns:
            Microseconds since 1970; 0 for no deadline.

        Raises:
            DeadlineUnreachable: the predicted wait is longer.
        """
        if seconds is None:
            return 0
        wait = self._backlog.predicted_wait(queue)
        if wait > seconds:
            raise DeadlineUnreachable(math.ceil(wait - seconds))
        return self._clock.now_plus(seconds)

    async def reserve(self, key: IdempotencyKey) -> tuple[PredictionId | None, int]:
        """Reserve an idempotency key for a new prediction.

        Returns:
            The earlier prediction with this key, or None; and the latest time to record a new one, by the store's
            clock. Later, another request may have reserved the key.

        Raises:
            IdempotencyKeyReused, IdempotencyKeyInUse, BrokerUnavailable: as `IdempotencyKeys.reserve`.
        """
        latest_us = self._clock.now_plus(RESERVED_SECONDS - 1)
        return await self._idempotency.reserve(key), latest_us

    async def release(self, key: IdempotencyKey) -> None:
        """Release a key whose prediction was refused.

        Raises:
            BrokerUnavailable: as `IdempotencyKeys.release`.
        """
        await self._idempotency.release(key)
