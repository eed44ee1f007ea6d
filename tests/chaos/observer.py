"""Listens on the reply channels, and counts the batches whose outcome was published more than once.

A commit publishes its outcome on the reply channel of the gateway that submitted the batch; a refused commit publishes
nothing. So two outcomes for one batch are two commits. The observer does not receive messages that are published while
the broker is away, outcomes that are too long to publish, or the batches of spanning predictions.
"""

import threading
from collections import Counter
from typing import Any

import redis

from tests.patience import patience

_PATTERN = "sepal:reply:*"
_POLL_SECONDS = 0.2


class Observer:
    """Subscribes to the reply channels of all gateways, on a separate thread."""

    def __init__(self, port: int) -> None:
        self._client: Any = redis.Redis(port=port, socket_timeout=patience())
        self._outcomes: Counter[bytes] = Counter()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="observer")
        self._thread.start()

    @property
    def n_published(self) -> int:
        """Batches whose outcome was received."""
        return len(self._outcomes)

    @property
    def n_committed_twice(self) -> int:
        """Batches whose outcome was received more than once."""
        return sum(1 for count in self._outcomes.values() if count > 1)

    def stop(self) -> None:
        """Unsubscribe and end the thread."""
        self._is_stopping.set()
        self._thread.join()
        self._client.close()

    def _listen(self) -> None:
        while not self._is_stopping.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.psubscribe(_PATTERN)
                    while not self._is_stopping.is_set():
                        self._count(subscription.get_message(timeout=_POLL_SECONDS))
            except redis.RedisError:
                self._is_stopping.wait(_POLL_SECONDS)

    def _count(self, message: dict[str, bytes] | None) -> None:
        if message is not None:
            fields = message["data"].split(b" ", 2)
            if len(fields) == 3 and fields[1].isdigit() and fields[2]:  # else no outcome, or an alien message
                self._outcomes[fields[0]] += 1
