"""What a pool process holds, and what it does with a batch: claim, predict, commit."""

import gc
import resource
import time
from typing import Final

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from shared.errors import BrokerUnavailable, RecordIncompatible
from shared.ids import BatchId
from shared.names import FailureCode, LostReason, State
from shared.rows import EncodedRows
from shared.store.attempts import Attempts, Claim
from shared.store.blocking import BlockingTransport
from shared.store.records import Answer, Failure, Outcome, split_rows
from shared.store.transport import StoreRefused
from worker.pool.pipe import PoolPipe
from worker.pool.predictor import Predictor
from worker.settings import WorkerSettings
from worker.telemetry.metrics import COMMITTED, DROPPED, AttemptReport
from worker.telemetry.tracing import BatchTracer

_EXPIRED: Final = Failure(FailureCode.EXPIRED, "The deadline had passed when a worker came to these rows.")

log = structlog.get_logger(__name__)


class PoolProcess:
    """One loaded predictor, one connection to the store."""

    def __init__(self, predictor: Predictor, attempts: Attempts, pipe: PoolPipe, tracer: BatchTracer | None) -> None:
        self._predictor = predictor
        self._attempts = attempts
        self._pipe = pipe
        self._names_requests = False
        self._tracer = tracer

    @classmethod
    def start(
        cls,
        settings: WorkerSettings,
        worker: str,
        pipe: PoolPipe,
        interruptions: tuple[type[Exception], ...] = (),
    ) -> "PoolProcess":
        """Load and warm up: when this returns, the process can take a batch.

        Args:
            settings: the worker's.
            worker: its name, in which batches are claimed.
            pipe: to the parent, made before the fork.
            interruptions: what ends an attempt from outside while the pipeline runs.

        Raises:
            ArtifactError: the model directory cannot be served.
        """
        if settings.worker_memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (settings.worker_memory_bytes, settings.worker_memory_bytes))
        predictor = Predictor.load(settings.model_dir, interruptions)
        predictor.warm_up()
        gc.freeze()  # the pipeline and its libraries stay: a full collection need not look at them again
        attempts = Attempts(
            BlockingTransport.waiting(settings.redis_url.get_secret_value()),
            worker,
            result_ttl_seconds=settings.result_ttl_seconds,
            max_attempts=settings.max_attempts,
        )
        return cls(predictor, attempts, pipe, BatchTracer.make(settings.otlp_endpoint, worker))

    def run(self, batch_id: BatchId) -> None:
        """Answer one batch, unless there is nothing left to answer."""
        if self._names_requests:
            clear_contextvars()
            self._names_requests = False
        try:
            claim = self._attempts.claim(batch_id)
        except RecordIncompatible as error:  # the reconciler of those who can read it publishes it again
            log.error("left a batch to workers that can read it", batch=batch_id, reason=str(error))
            return
        if claim is None:
            log.info("skipped a batch that needs no answer", batch=batch_id)
            return
        self._name_requests(claim)
        began_ns = time.monotonic_ns()
        outcome = self._answer(claim)
        n_open = self._attempts.commit(claim, outcome)
        finished_us = claim.claimed_us + (time.monotonic_ns() - began_ns) // 1000
        self._pipe.report(attempt_report(claim, outcome, n_open, finished_us))
        if n_open is None:
            log.warning("dropped an outcome: another attempt has the batch", batch=claim.batch_id, token=claim.token)
        elif claim.origins:
            self._tell_of(claim, outcome)

    def _name_requests(self, claim: Claim) -> None:
        """Have every line of the log say which requests it is about, until the next batch."""
        requests = [origin.request_id for origin in claim.origins.values() if origin.request_id]
        if requests:
            self._names_requests = True
            bind_contextvars(requests=requests)

    def _tell_of(self, claim: Claim, outcome: Outcome) -> None:
        """Tell those who want to know of single batches."""
        if self._names_requests:
            log.info(
                "answered a batch",
                batch=claim.batch_id,
                attempt=claim.token,
                predictions=len(outcome.members),
                rows=claim.rows.n_rows,
                queue_ms=outcome.queue_us / 1000,
                predict_ms=outcome.predict_us / 1000,
            )
        if self._tracer is not None:
            self._tracer.record(claim, outcome)

    def requeue(self, batch_id: BatchId, reason: LostReason, detail: str) -> None:
        """End an attempt without an outcome; where even that cannot be written, the parent finds out."""
        try:
            queue = self._attempts.requeue(batch_id, detail)
            if queue is not None:
                self._pipe.report(AttemptReport(queue, reason))
        except (BrokerUnavailable, RecordIncompatible, StoreRefused) as error:
            log.warning("could not requeue a batch", batch=batch_id, reason=str(error))

    def _answer(self, claim: Claim) -> Outcome:
        served = self._predictor.card.digest
        if claim.model.digest != served:
            refusal = Failure(
                FailureCode.MODEL_CHANGED,
                f"The rows were accepted for {claim.model.name} {claim.model.version} ({claim.model.digest}), "
                f"and the workers now serve {served}: submit them again.",
            )
            return Outcome(claim.queue_us, 0, [refusal] * len(claim.members))
        late = [0 < member.deadline_us < claim.claimed_us for member in claim.members]
        if any(late):
            return self._answer_punctual(claim, late)
        members, predict_us = self._predictor.predict(claim.rows, claim.members)
        return Outcome(claim.queue_us, predict_us, members)

    def _answer_punctual(self, claim: Claim, late: list[bool]) -> Outcome:
        """Leave out the rows of those whose deadline has passed."""
        shares = zip(claim.members, split_rows(claim.rows.content, claim.members), late, strict=True)
        punctual_shares = [(member, share) for member, share, is_late in shares if not is_late]
        wanted = [member for member, _ in punctual_shares]
        content, n_rows = b"".join(share for _, share in punctual_shares), sum(member.n_rows for member in wanted)
        rows = EncodedRows(content, n_rows, claim.rows.encoding)
        answers, predict_us = self._predictor.predict(rows, wanted) if wanted else ([], 0)
        punctual = iter(answers)
        return Outcome(claim.queue_us, predict_us, [_EXPIRED if is_late else next(punctual) for is_late in late])


def attempt_report(claim: Claim, outcome: Outcome, n_open: int | None, finished_us: int) -> AttemptReport:
    """Say what has become of an attempt.

    Args:
        claim: that began it.
        outcome: that it came to.
        n_open: predictions that the commit has not made final, which succeeded if any did; None where it was refused.
        finished_us: when the commit came, by the store's clock.
    """
    if n_open is None:
        return AttemptReport(claim.queue, DROPPED, claim.rows.n_rows, claim.queue_us, outcome.predict_us)
    by_state = [len(outcome.members), 0, 0]  # mostly there is neither a failure nor a deadline, and many members
    if any(type(end) is Failure for end in outcome.members) or any(member.deadline_us for member in claim.members):
        states = [
            State.EXPIRED if 0 < member.deadline_us < finished_us else _state(end)
            for member, end in zip(claim.members, outcome.members, strict=True)
        ]
        by_state = [states.count(state) for state in (State.SUCCEEDED, State.FAILED, State.EXPIRED)]
    counts = []
    for count in by_state:
        n_left_open = min(n_open, count)
        n_open -= n_left_open
        counts.append(count - n_left_open)
    return AttemptReport(claim.queue, COMMITTED, claim.rows.n_rows, claim.queue_us, outcome.predict_us, *counts)


def _state(end: Answer | Failure) -> State:
    if isinstance(end, Answer):
        return State.SUCCEEDED
    return State.EXPIRED if end.code == FailureCode.EXPIRED else State.FAILED
