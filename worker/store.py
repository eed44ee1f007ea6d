"""A pool process's half of the store: claim a batch, commit its outcome, or give it back."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

import numpy as np
from numpy.typing import NDArray
from redis import ConnectionPool
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.card import ModelRef
from shared.ids import BatchId, split_slice_id
from shared.names import Queue
from shared.record import (
    MAX_PUBLISHED_BYTES,
    Failure,
    Member,
    Origin,
    Outcome,
    batch_key,
    unpack_members,
    unpack_origins,
)
from shared.scripts import script

# A pool process that has lost the store waits for it: there is nothing else it could do, and giving up would cost the
# batch an attempt. Twenty tries with at most a second between them ride out a broker's restart.
_RETRY_ATTEMPTS = 20
_SOCKET_TIMEOUT_SECONDS = 2
_QUEUES = {queue.value.encode(): queue for queue in Queue}


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at a batch."""

    batch_id: BatchId
    token: int
    claimed_us: int
    """By the store's clock, since 1970."""
    queue_us: int
    """Microseconds from the submission to this claim."""
    rows: NDArray[np.float64]
    """Shape (n_rows * n_features,): the pipeline's number of columns gives it its second dimension."""
    members: list[Member]
    model: ModelRef
    queue: Queue
    origins: dict[int, Origin]
    """By the members' places, of those that have one."""

    @property
    def n_rows(self) -> int:
        """Rows of all its members."""
        return sum(member.n_rows for member in self.members)


class Scripts:
    """The store's scripts over one connection of their own.

    redis-py's client looks for a connection in its pool at every call, and counts, names and times the call; that is
    more than half of what a call costs here (docs/decisions/0013-few-round-trips-a-batch.md).
    """

    def __init__(self, url: str, *names: str) -> None:
        self._retry = Retry(
            ExponentialBackoff(cap=1, base=0.05),
            _RETRY_ATTEMPTS,
            supported_errors=(RedisConnectionError, RedisTimeoutError, ConnectionError),
        )
        pool = ConnectionPool.from_url(url, socket_timeout=_SOCKET_TIMEOUT_SECONDS)
        self._connection: Any = pool.make_connection()
        self._texts = {name: script(name) for name in names}
        self._hashes = {
            name: sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._texts.items()
        }

    def run(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run one script; a server that cannot be reached is waited for.

        Raises:
            RedisError: it stayed away, or refused.
        """
        return self._retry.call_with_retry(
            lambda: self._try(name, keys, args), lambda _error: self._connection.disconnect()
        )

    def _try(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return self._call("EVALSHA", self._hashes[name], len(keys), *keys, *args)
        except NoScriptError:  # a new or restarted server: scripts do not survive a restart
            return self._call("EVAL", self._texts[name], len(keys), *keys, *args)

    def _call(self, *command: Any) -> Any:
        try:
            self._connection.send_command(*command)
            return self._connection.read_response()
        except ResponseError:
            raise
        except BaseException:  # a time limit may strike here: what is still to be read would answer the next command
            self._connection.disconnect()
            raise


class Store:
    """Claims and commits, in the name of one pool process of one worker."""

    def __init__(self, scripts: Scripts, worker: str, result_ttl_seconds: int, max_attempts: int) -> None:
        self._scripts = scripts
        self._worker = worker
        self._pid = os.getpid()
        self._result_ttl_seconds = result_ttl_seconds
        self._max_attempts = max_attempts
        self._model = b"", ModelRef(name="", version="", digest="")

    @classmethod
    def connect(cls, url: str, worker: str, *, result_ttl_seconds: int, max_attempts: int) -> "Store":
        """Make a store that rides out a broker's restart; it connects when it is first used."""
        return cls(Scripts(url, "claim", "commit", "give_back"), worker, result_ttl_seconds, max_attempts)

    def claim(self, batch_id: BatchId) -> Claim | None:
        """Start an attempt; None when the batch is final, canceled or gone, or somebody else's."""
        name = secrets.token_hex(8)
        reply = self._scripts.run(
            "claim", _record_keys(batch_id), [name, batch_id, self._worker, self._pid, self._result_ttl_seconds]
        )
        if reply is None:
            return None
        token, created, now, rows, members, model, queue, origins = reply
        return Claim(
            batch_id=batch_id,
            token=token,
            claimed_us=int(now),
            queue_us=max(0, int(now) - int(created)),  # the clock may have been set back
            rows=np.frombuffer(rows, dtype=np.float64),
            members=unpack_members(members),
            model=self._model_ref(model),
            queue=_QUEUES[queue],
            origins=unpack_origins(origins),
        )

    def _model_ref(self, raw: bytes) -> ModelRef:
        """Read the model that rows were accepted for: the same one, batch after batch."""
        if raw != self._model[0]:
            self._model = raw, ModelRef.model_validate_json(raw)
        return self._model[1]

    def commit(self, claim: Claim, outcome: Outcome) -> int | None:
        """Write the outcome.

        Returns:
            How many predictions of the batch this has not made final, as they were canceled, or wait for other batches;
            None when another attempt has the batch or it became final meanwhile.
        """
        encoded = outcome.encode()
        part = split_slice_id(claim.batch_id)
        travels = part is None and len(encoded) <= MAX_PUBLISHED_BYTES
        failed = any(isinstance(member, Failure) for member in outcome.members)
        stem, number = part or (claim.batch_id, "")
        args = [claim.token, encoded, self._result_ttl_seconds, stem, number, int(failed), outcome.predict_us]
        args += [int(travels), claim.batch_id, self._worker, self._pid]
        n_open = int(self._scripts.run("commit", _record_keys(claim.batch_id), args))
        return None if n_open < 0 else n_open

    def give_back(self, batch_id: BatchId, reason: str) -> Queue | None:
        """End an attempt without an outcome, and have the batch published again.

        Returns:
            The batch's queue; None when there was no attempt to end.
        """
        queue = self._scripts.run("give_back", [], [batch_id, self._worker, reason, self._max_attempts])
        return None if queue is None else _QUEUES[queue]


def _record_keys(batch_id: BatchId) -> list[str]:
    part = split_slice_id(batch_id)
    return [batch_key(batch_id), batch_key(part[0] if part else batch_id)]
