"""What a pool process holds, and what it does with a batch: claim, predict, commit."""

import gc

import structlog

from shared.ids import BatchId
from shared.names import FailureCode
from shared.record import Answer, Failure, Outcome
from worker.predictor import Predictor
from worker.settings import WorkerSettings
from worker.store import Claim, Store

log = structlog.get_logger(__name__)


class PoolProcess:
    """One loaded predictor, one connection to the store."""

    def __init__(self, predictor: Predictor, store: Store, max_attempts: int) -> None:
        self._predictor = predictor
        self._store = store
        self._max_attempts = max_attempts

    @classmethod
    def start(cls, settings: WorkerSettings) -> "PoolProcess":
        """Load and warm up: when this returns, the process can take a batch.

        Raises:
            ArtifactError: the model directory cannot be served.
        """
        predictor = Predictor.load(settings.model_dir)
        predictor.warm_up()
        gc.freeze()  # the pipeline and its libraries stay: a full collection need not look at them again
        store = Store.connect(settings.redis_url.get_secret_value(), settings.result_ttl_seconds)
        return cls(predictor, store, settings.max_attempts)

    def run(self, batch_id: BatchId) -> None:
        """Answer one batch, unless there is nothing left to answer."""
        claim = self._store.claim(batch_id)
        if claim is None:
            log.info("skipped a batch that needs no answer", batch=batch_id)
            return
        if not self._store.commit(claim, self._answer(claim)):
            log.warning("dropped an outcome: another attempt has the batch", batch=batch_id, token=claim.token)

    def _answer(self, claim: Claim) -> Outcome:
        refusal = self._refusal(claim)
        if refusal:
            members: list[Answer | Failure] = [refusal] * len(claim.members)
            return Outcome(claim.queue_us, 0, members)
        rows = claim.rows.reshape(-1, len(self._predictor.card.features))
        members, predict_us = self._predictor.predict(rows, claim.members)
        return Outcome(claim.queue_us, predict_us, members)

    def _refusal(self, claim: Claim) -> Failure | None:
        served = self._predictor.card.digest
        if claim.model.digest != served:
            return Failure(
                FailureCode.MODEL_CHANGED,
                f"The rows were accepted for {claim.model.name} {claim.model.version} ({claim.model.digest}), "
                f"and the workers now serve {served}: submit them again.",
            )
        if claim.token > self._max_attempts:
            return Failure(
                FailureCode.ATTEMPTS_EXHAUSTED,
                f"{self._max_attempts} attempts at these rows were started and none was finished: their process was "
                "lost each time, or took longer than the visibility timeout.",
            )
        return None
