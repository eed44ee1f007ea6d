"""Listens to what workers announce, and counts the batches whose outcome was announced more than once.

A commit that is written publishes its outcome on the reply channel of the gateway that asked; one that is refused
publishes nothing. So two outcomes for one batch are two commits. Not seen: what is published while this connection is
down (a broker that was killed), outcomes too long to travel, and the batches of a prediction that spans several.
"""

import threading
from collections import Counter
from typing import Any

import redis

from tests.patience import patience

_PATTERN = "sepal:reply:*"
_LOOK_SECONDS = 0.2


class Observer:
    """One subscription to the reply channels of all gateways, on a thread of its own."""

    def __init__(self, port: int) -> None:
        self._client: Any = redis.Redis(port=port, socket_timeout=patience())
        self._outcomes: Counter[bytes] = Counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="observer")
        self._thread.start()

    @property
    def announced(self) -> int:
        """Batches whose outcome was seen."""
        return len(self._outcomes)

    @property
    def twice(self) -> int:
        """Batches whose outcome was seen more than once."""
        return sum(1 for seen in self._outcomes.values() if seen > 1)

    def stop(self) -> None:
        """Stop listening."""
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.psubscribe(_PATTERN)
                    while not self._ended.is_set():
                        self._count(subscription.get_message(timeout=_LOOK_SECONDS))
            except redis.RedisError:
                self._ended.wait(_LOOK_SECONDS)

    def _count(self, message: dict[str, bytes] | None) -> None:
        if message is not None:
            fields = message["data"].split(b" ", 2)
            if len(fields) == 3 and fields[1].isdigit() and fields[2]:  # else a hint, or none of Sepal's
                self._outcomes[fields[0]] += 1
