"""The worker's half of the store: claim a batch, commit its outcome, say that the worker lives."""

import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.card import ModelCard, ModelRef
from shared.ids import BatchId, split_slice_id
from shared.record import (
    BACKLOG_KEY,
    MAX_PUBLISHED_BYTES,
    MODEL_KEY,
    WORKERS_KEY,
    Failure,
    Member,
    Outcome,
    batch_key,
    unpack_members,
    write_announcement,
)
from shared.scripts import script

# A pool process that has lost the store waits for it: there is nothing else it could do, and giving up would leave
# the batch to the visibility timeout. Twenty tries with at most a second between them ride out a broker's restart.
_RETRY_ATTEMPTS = 20
_SOCKET_TIMEOUT_SECONDS = 5
_ANNOUNCE_TIMEOUT_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at a batch."""

    batch_id: BatchId
    token: int
    queue_us: int
    """Microseconds from the submission to this claim."""
    rows: NDArray[np.float64]
    """Shape (n_rows * n_features,): the pipeline's number of columns gives it its second dimension."""
    members: list[Member]
    model: ModelRef


class Store:
    """Claims and commits, over one connection of its own."""

    def __init__(self, client: Redis, result_ttl_seconds: int) -> None:
        self._result_ttl_seconds = result_ttl_seconds
        self._claim = client.register_script(script("claim"))
        self._commit = client.register_script(script("commit"))

    @classmethod
    def connect(cls, url: str, result_ttl_seconds: int) -> "Store":
        """Make a store that rides out a broker's restart."""
        retry = Retry(
            ExponentialBackoff(cap=1, base=0.05),
            _RETRY_ATTEMPTS,
            supported_errors=(RedisConnectionError, RedisTimeoutError, ConnectionError),
        )
        client = Redis.from_url(url, retry=retry, socket_timeout=_SOCKET_TIMEOUT_SECONDS)
        return cls(client, result_ttl_seconds)

    def claim(self, batch_id: BatchId) -> Claim | None:
        """Start an attempt; None when the batch is final, canceled or gone."""
        reply = self._claim(keys=_record_keys(batch_id), args=[secrets.token_hex(8)])
        if reply is None:
            return None
        token, created, now, rows, members, model = reply
        return Claim(
            batch_id=batch_id,
            token=token,
            queue_us=int(now) - int(created),
            rows=np.frombuffer(rows, dtype=np.float64),
            members=unpack_members(members),
            model=ModelRef.model_validate_json(model),
        )

    def commit(self, claim: Claim, outcome: Outcome) -> bool:
        """Write the outcome; False when another attempt has the batch or it became final meanwhile."""
        encoded = outcome.encode()
        part = split_slice_id(claim.batch_id)
        travels = part is None and len(encoded) <= MAX_PUBLISHED_BYTES
        announcement = write_announcement(part[0] if part else claim.batch_id, encoded if travels else b"")
        failed = any(isinstance(member, Failure) for member in outcome.members)
        return bool(
            self._commit(
                keys=[*_record_keys(claim.batch_id), BACKLOG_KEY],
                args=[
                    claim.token,
                    encoded,
                    self._result_ttl_seconds,
                    announcement,
                    part[1] if part else "",
                    int(failed),
                    outcome.predict_us,
                ],
            )
        )


class Announcer:
    """Tells the store that this worker lives."""

    def __init__(self, url: str, worker: str, card: ModelCard, lifetime_seconds: float) -> None:
        # No retries and a short patience: this runs on the consumer's event loop.
        self._client = Redis.from_url(url, retry=None, socket_timeout=_ANNOUNCE_TIMEOUT_SECONDS)
        self._script = self._client.register_script(script("announce"))
        self._worker = worker
        self._card = card.model_dump_json()
        self._lifetime_ms = round(lifetime_seconds * 1000)
        self._first = True

    def announce(self, pool_processes: int) -> None:
        """Say that `pool_processes` of this worker can take a batch now."""
        # A worker that cannot load its model must not have the gateways validate against it.
        card = self._card if pool_processes else ""
        self._script(
            keys=[WORKERS_KEY, MODEL_KEY],
            args=[self._worker, pool_processes, self._lifetime_ms, card, int(self._first)],
        )
        self._first = self._first and not pool_processes

    def withdraw(self) -> None:
        """Say that this worker takes no more work."""
        self._client.hdel(WORKERS_KEY, self._worker)


def _record_keys(batch_id: BatchId) -> list[str]:
    part = split_slice_id(batch_id)
    return [batch_key(batch_id), batch_key(part[0] if part else batch_id)]
