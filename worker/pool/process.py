"""The work of a pool process on a batch: claim, predict, commit."""

import gc
import resource
import time
from typing import TYPE_CHECKING, Final

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from shared.distributions import installed_versions
from shared.errors import BrokerUnavailable, RecordIncompatible
from shared.ids import BatchId
from shared.names import FailureCode, LostReason, State
from shared.rows import EncodedRows
from shared.store.attempts import Attempts, Claim
from shared.store.blocking import BlockingTransport
from shared.store.records import Answer, Failure, Member, Outcome, Provenance, split_rows
from shared.store.transport import StoreRefused
from worker.pool.pipe import PoolPipe
from worker.pool.predictor import Predictor
from worker.settings import WorkerSettings
from worker.telemetry.metrics import COMMITTED, DROPPED, AttemptReport
from worker.telemetry.tracing import BatchTracer

if TYPE_CHECKING:
    from worker.pool.slice_attempts import SliceAttempts

_EXPIRED_FAILURE: Final = Failure(FailureCode.EXPIRED, "The deadline passed before a worker claimed these rows.")

log = structlog.get_logger(__name__)


class PoolProcess:
    """Runs batches with one loaded predictor and one connection to the store."""

    def __init__(
        self,
        settings: WorkerSettings,
        predictor: Predictor,
        attempts: Attempts,
        worker: str,
        pipe: PoolPipe,
        tracer: BatchTracer | None,
    ) -> None:
        self._settings = settings
        self._predictor = predictor
        self._worker = worker
        self._versions = installed_versions(predictor.card)
        self._attempts = attempts
        self._pipe = pipe
        self._has_bound_requests = False
        self._tracer = tracer
        self._slices: SliceAttempts | None = None

    @classmethod
    def start(
        cls,
        settings: WorkerSettings,
        worker: str,
        pipe: PoolPipe,
        interruptions: tuple[type[Exception], ...] = (),
    ) -> "PoolProcess":
        """Load and warm up the pipeline, so that the process can take a batch.

        Args:
            settings: the worker's settings.
            worker: the worker's name, under which batches are claimed.
            pipe: the pipe to the parent, created before the fork.
            interruptions: exceptions that end an attempt while the pipeline runs, such as that of the time limit.

        Raises:
            ArtifactError: the model directory cannot be served.
        """
        if settings.worker_memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (settings.worker_memory_bytes, settings.worker_memory_bytes))
        predictor = Predictor.load(settings.model_dir, interruptions, settings.trusted_types)
        predictor.warm_up()
        gc.freeze()  # full collections then skip the pipeline and its libraries
        attempts = Attempts(
            BlockingTransport.with_retries(settings.redis_url.get_secret_value()),
            worker,
            result_ttl_seconds=settings.result_ttl_seconds,
            max_attempts=settings.max_attempts,
        )
        return cls(settings, predictor, attempts, worker, pipe, BatchTracer.make(settings.otlp_endpoint, worker))

    def run(self, batch_id: BatchId) -> None:
        """Claim, predict and commit one batch, if it can be claimed."""
        if self._has_bound_requests:
            clear_contextvars()
            self._has_bound_requests = False
        try:
            claim = self._attempts.claim(batch_id)
        except RecordIncompatible as error:  # a reconciler that can read it publishes it again
            log.error("skipped a batch: another version of Sepal wrote its record", batch=batch_id, reason=str(error))
            return
        if claim is None:
            log.info("skipped a batch that needs no attempt", batch=batch_id)
            return
        self._bind_request_ids(claim)
        if claim.slice is not None:
            self._run_slice(claim)
        else:
            self._run_batch(claim)

    def _run_slice(self, claim: Claim) -> None:
        if self._slices is None:
            from worker.pool.slice_attempts import SliceAttempts  # imports pyarrow and the object store's client

            self._slices = SliceAttempts.open(
                self._predictor,
                self._attempts,
                self._settings.object_store_url,
                self._settings.batch_soft_seconds,
                self._pipe.report_slice,
            )
        expired = _EXPIRED_FAILURE if _is_expired(claim, claim.members[0]) else None
        predict_us = self._slices.run(claim, self._find_model_change(claim) or expired)
        if predict_us is not None and claim.origins:
            self._log_and_trace(claim, predict_us)

    def _run_batch(self, claim: Claim) -> None:
        began_ns = time.monotonic_ns()
        outcome = self._predict(claim)
        n_open = self._attempts.commit(claim, outcome)
        finished_us = claim.claimed_us + (time.monotonic_ns() - began_ns) // 1000
        self._pipe.report_attempt(make_attempt_report(claim, outcome, n_open, finished_us))
        if n_open is None:
            log.warning("dropped an outcome: another attempt has the batch", batch=claim.batch_id, token=claim.token)
        elif claim.origins:
            self._log_and_trace(claim, outcome.predict_us)

    def _bind_request_ids(self, claim: Claim) -> None:
        """Add the correlation ids of the requests to every log line until the next batch."""
        requests = [origin.request_id for origin in claim.origins.values() if origin.request_id]
        if requests:
            self._has_bound_requests = True
            bind_contextvars(requests=requests)

    def _log_and_trace(self, claim: Claim, predict_us: int) -> None:
        """Log the batch if its requests have ids, and trace it if tracing is on."""
        if self._has_bound_requests:
            log.info(
                "committed a batch",
                batch=claim.batch_id,
                attempt=claim.token,
                predictions=len(claim.members),
                rows=claim.rows.n_rows,
                queue_ms=claim.queue_us / 1000,
                predict_ms=predict_us / 1000,
            )
        if self._tracer is not None:
            self._tracer.record(claim, predict_us)

    def requeue(self, batch_id: BatchId, reason: LostReason, detail: str) -> None:
        """End an attempt without an outcome; if the store fails, the parent's watchdog does it later."""
        try:
            queue = self._attempts.requeue(batch_id, detail)
            if queue is not None:
                self._pipe.report_attempt(AttemptReport(queue, reason))
        except (BrokerUnavailable, RecordIncompatible, StoreRefused) as error:
            log.warning("could not requeue a batch", batch=batch_id, reason=str(error))

    def _predict(self, claim: Claim) -> Outcome:
        refusal = self._find_model_change(claim)
        if refusal is not None:
            return self._make_outcome(claim, 0, [refusal] * len(claim.members))
        expired = [_is_expired(claim, member) for member in claim.members]
        if any(expired):
            return self._predict_unexpired(claim, expired)
        members, predict_us = self._predictor.predict(claim.rows, claim.members)
        return self._make_outcome(claim, predict_us, members)

    def _find_model_change(self, claim: Claim) -> Failure | None:
        served = self._predictor.card.digest
        if claim.model.digest == served:
            return None
        return Failure(
            FailureCode.MODEL_CHANGED,
            f"The rows were accepted for {claim.model.name} {claim.model.version} ({claim.model.digest}), "
            f"and the workers now serve {served}: submit them again.",
        )

    def _predict_unexpired(self, claim: Claim, expired_flags: list[bool]) -> Outcome:
        """Predict only the rows of members whose deadline has not passed."""
        parts = zip(claim.members, split_rows(claim.rows.content, claim.members), expired_flags, strict=True)
        unexpired = [(member, rows) for member, rows, is_expired in parts if not is_expired]
        members = [member for member, _ in unexpired]
        content, n_rows = b"".join(rows for _, rows in unexpired), sum(member.n_rows for member in members)
        encoded = EncodedRows(content, n_rows, claim.rows.encoding)
        answers, predict_us = self._predictor.predict(encoded, members) if members else ([], 0)
        answer = iter(answers)
        return self._make_outcome(
            claim, predict_us, [_EXPIRED_FAILURE if is_expired else next(answer) for is_expired in expired_flags]
        )

    def _make_outcome(self, claim: Claim, predict_us: int, results: list[Answer | Failure]) -> Outcome:
        provenance = Provenance(claim.token, claim.rows.n_rows, self._worker, self._versions)
        return Outcome(claim.queue_us, predict_us, results, provenance)


def _is_expired(claim: Claim, member: Member) -> bool:
    return 0 < member.deadline_us < claim.claimed_us


def make_attempt_report(claim: Claim, outcome: Outcome, n_open: int | None, finished_us: int) -> AttemptReport:
    """Make the report of how an attempt ended.

    Args:
        claim: the claim that started it.
        outcome: its outcome.
        n_open: predictions that the commit left open, subtracted from the succeeded ones first; None if the commit was
            refused.
        finished_us: time of the commit by the store's clock, in microseconds since 1970.
    """
    if n_open is None:
        return AttemptReport(claim.queue, DROPPED, claim.rows.n_rows, claim.queue_us, outcome.predict_us)
    by_state = [len(outcome.members), 0, 0]  # the common case: many members, no failure, no deadline
    if any(type(end) is Failure for end in outcome.members) or any(member.deadline_us for member in claim.members):
        states = [
            State.EXPIRED if 0 < member.deadline_us < finished_us else _final_state(end)
            for member, end in zip(claim.members, outcome.members, strict=True)
        ]
        by_state = [states.count(state) for state in (State.SUCCEEDED, State.FAILED, State.EXPIRED)]
    counts = []
    for count in by_state:
        n_left_open = min(n_open, count)
        n_open -= n_left_open
        counts.append(count - n_left_open)
    return AttemptReport(claim.queue, COMMITTED, claim.rows.n_rows, claim.queue_us, outcome.predict_us, *counts)


def _final_state(result: Answer | Failure) -> State:
    if isinstance(result, Answer):
        return State.SUCCEEDED
    return State.EXPIRED if result.code == FailureCode.EXPIRED else State.FAILED
