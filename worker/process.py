"""What a pool process holds, and what it does with a batch: claim, predict, commit."""

import gc
import resource
from typing import Final

import numpy as np
import structlog
from redis.exceptions import RedisError

from shared.ids import BatchId
from shared.names import FailureCode
from shared.record import Failure, Outcome
from worker.predictor import Predictor, Rows
from worker.settings import WorkerSettings
from worker.store import Claim, Store

_EXPIRED: Final = Failure(FailureCode.EXPIRED, "The deadline had passed when a worker came to these rows.")

log = structlog.get_logger(__name__)


class PoolProcess:
    """One loaded predictor, one connection to the store."""

    def __init__(self, predictor: Predictor, store: Store) -> None:
        self._predictor = predictor
        self._store = store

    @classmethod
    def start(
        cls, settings: WorkerSettings, worker: str, interruptions: tuple[type[Exception], ...] = ()
    ) -> "PoolProcess":
        """Load and warm up: when this returns, the process can take a batch.

        Args:
            settings: the worker's.
            worker: its name, in which batches are claimed.
            interruptions: what ends an attempt from outside while the pipeline runs.

        Raises:
            ArtifactError: the model directory cannot be served.
        """
        if settings.worker_memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (settings.worker_memory_bytes, settings.worker_memory_bytes))
        predictor = Predictor.load(settings.model_dir, interruptions)
        predictor.warm_up()
        gc.freeze()  # the pipeline and its libraries stay: a full collection need not look at them again
        store = Store.connect(
            settings.redis_url.get_secret_value(),
            worker,
            result_ttl_seconds=settings.result_ttl_seconds,
            max_attempts=settings.max_attempts,
        )
        return cls(predictor, store)

    def run(self, batch_id: BatchId) -> None:
        """Answer one batch, unless there is nothing left to answer."""
        claim = self._store.claim(batch_id)
        if claim is None:
            log.info("skipped a batch that needs no answer", batch=batch_id)
            return
        if not self._store.commit(claim, self._answer(claim)):
            log.warning("dropped an outcome: another attempt has the batch", batch=batch_id, token=claim.token)

    def give_back(self, batch_id: BatchId, reason: str) -> None:
        """End an attempt without an outcome; where even that cannot be written, the parent finds out."""
        try:
            self._store.give_back(batch_id, reason)
        except RedisError as error:
            log.warning("could not give a batch back", batch=batch_id, reason=str(error))

    def _answer(self, claim: Claim) -> Outcome:
        served = self._predictor.card.digest
        if claim.model.digest != served:
            refusal = Failure(
                FailureCode.MODEL_CHANGED,
                f"The rows were accepted for {claim.model.name} {claim.model.version} ({claim.model.digest}), "
                f"and the workers now serve {served}: submit them again.",
            )
            return Outcome(claim.queue_us, 0, [refusal] * len(claim.members))
        rows = claim.rows.reshape(-1, len(self._predictor.card.features))
        late = [0 < member.deadline_us < claim.claimed_us for member in claim.members]
        if any(late):
            return self._answer_punctual(claim, rows, late)
        members, predict_us = self._predictor.predict(rows, claim.members)
        return Outcome(claim.queue_us, predict_us, members)

    def _answer_punctual(self, claim: Claim, rows: Rows, late: list[bool]) -> Outcome:
        """Leave out the rows of those whose deadline has passed."""
        wanted = [member for member, is_late in zip(claim.members, late, strict=True) if not is_late]
        rows = rows[~np.repeat(late, [member.n_rows for member in claim.members])]
        answers, predict_us = self._predictor.predict(rows, wanted) if wanted else ([], 0)
        punctual = iter(answers)
        return Outcome(claim.queue_us, predict_us, [_EXPIRED if is_late else next(punctual) for is_late in late])
