"""The work of a pool process on a slice: score it, commit its result, or end the attempt without one."""

from collections.abc import Callable
from typing import Final

import structlog

from shared.bulk import SliceResult, new_result_key
from shared.errors import ObjectStoreUnavailable, StorageFull
from shared.memory import keep_freed_memory
from shared.objects import ObjectStore
from shared.store.attempts import Attempts, Claim
from shared.store.records import Failure
from worker.pool.predictor import Predictor
from worker.pool.refusals import SearchTooLong
from worker.pool.slices import ScoredSlice, SliceScorer
from worker.telemetry.metrics import COMMITTED, DROPPED, GIVEN_BACK, HALVED, SliceReport

_HALVED_DETAIL: Final = "The pipeline refuses so many of the rows that they are scored in smaller slices."

log = structlog.get_logger(__name__)


class SliceAttempts:
    """Runs attempts at slices with one predictor."""

    def __init__(
        self,
        scorer: SliceScorer,
        attempts: Attempts,
        store: ObjectStore,
        report_slice: Callable[[SliceReport], None],
    ) -> None:
        self._scorer = scorer
        self._attempts = attempts
        self._store = store
        self._report = report_slice

    @classmethod
    def open(
        cls,
        predictor: Predictor,
        attempts: Attempts,
        url: str,
        time_limit_seconds: float,
        report_slice: Callable[[SliceReport], None],
    ) -> "SliceAttempts":
        """Open the object store, and make this process keep freed memory for later slices.

        Args:
            predictor: a predictor that is loaded and warmed up.
            attempts: records attempts in the store.
            url: the URL of the object store.
            time_limit_seconds: the time limit of an attempt.
            report_slice: reports to the parent how an attempt ended.
        """
        keep_freed_memory()
        store = ObjectStore.open(url)
        return cls(SliceScorer(predictor, store, time_limit_seconds), attempts, store, report_slice)

    def run(self, claim: Claim, refusal: Failure | None) -> int | None:
        """Score a slice and commit its result.

        Args:
            claim: the claim of the slice.
            refusal: the failure of its prediction, if the slice must not be scored.

        Returns:
            The microseconds inside the pipeline; None if no result was committed.

        Raises:
            BrokerUnavailable, StoreRefused: the result may have been recorded nevertheless.
        """
        assert claim.slice is not None
        assert claim.source is not None
        key = new_result_key(claim.batch_id, claim.token)
        try:
            scored = ScoredSlice(refusal) if refusal is not None else self._scorer.score(claim.source, claim.slice, key)
        except (ObjectStoreUnavailable, StorageFull) as error:
            log.warning("gave a slice back", batch=claim.batch_id, code=error.code, reason=str(error.__cause__))
            self._attempts.give_back(claim.batch_id)
            self._report(SliceReport(GIVEN_BACK))
        except SearchTooLong:
            log.warning("halving a slice: the pipeline refuses many of its rows", batch=claim.batch_id)
            self._attempts.requeue(claim.batch_id, _HALVED_DETAIL, is_last=True)
            self._report(SliceReport(HALVED))
        else:
            return scored.predict_us if self._commit(claim, scored) else None
        return None

    def _commit(self, claim: Claim, scored: ScoredSlice) -> bool:
        is_committed = self._attempts.commit_slice(claim, scored.result, predict_us=scored.predict_us)
        n_bad = scored.result.n_bad if isinstance(scored.result, SliceResult) else 0
        end = COMMITTED if is_committed else DROPPED
        times = scored.read_us, scored.predict_us, scored.write_us
        self._report(SliceReport(end, claim.rows.n_rows, n_bad, claim.queue_us, *times))
        if not is_committed:
            log.warning("dropped the result of a slice", batch=claim.batch_id, token=claim.token)
            self._delete_result(scored.result)
        return is_committed

    def _delete_result(self, result: SliceResult | Failure) -> None:
        """Delete the object of a result that was refused: no record refers to it."""
        if isinstance(result, SliceResult):
            try:
                self._store.delete([result.key])
            except ObjectStoreUnavailable as error:  # it is deleted later, with the objects of its prediction
                log.warning(
                    "could not delete the object of a dropped result", key=result.key, reason=str(error.__cause__)
                )
