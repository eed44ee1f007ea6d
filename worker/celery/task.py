"""Registers the Celery task that runs a batch, and starts the pool processes that it runs in."""

import os
import signal
import sys
import time
from typing import Any, Final

import structlog
from celery import Celery
from celery.exceptions import Reject, SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.signals import worker_process_init
from celery.worker.request import Request

from shared.errors import ArtifactError, ArtifactUnloadable
from shared.ids import BatchId
from shared.names import PREDICT_BATCH, LostReason
from worker.liveness import load_failure
from worker.liveness.watchdog import Requeue
from worker.pool.pipe import PoolPipe
from worker.pool.process import PoolProcess
from worker.settings import WorkerSettings

_RETRY_PAUSE_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class PoolState:
    """The state of a pool process: created before the fork, after which each process sets `process` in its copy."""

    def __init__(self, settings: WorkerSettings, worker: str, pipe: PoolPipe) -> None:
        self._settings = settings
        self._worker = worker
        self._pipe = pipe
        self._worker_pid = os.getpid()
        self.process: PoolProcess | None = None

    def start_process(self, **_: object) -> None:
        """Load the pipeline; on failure stop the whole worker, since the next pool process would fail as well."""
        try:
            self.process = PoolProcess.start(self._settings, self._worker, self._pipe, (SoftTimeLimitExceeded,))
        except ArtifactError as error:
            log.critical(
                "cannot serve this model", model_dir=str(self._settings.model_dir), code=error.code, reason=str(error)
            )
            self._stop_worker(error)
        except Exception as error:
            # The text of an unexpected exception is only in the log, because anyone can read /readyz.
            unloadable = ArtifactUnloadable(f"loading the pipeline or warming it up raised {type(error).__name__}")
            log.critical("cannot load this model", remedy=unloadable.remedy, exc_info=True)
            self._stop_worker(unloadable)
        self._pipe.report_loaded(os.getpid())

    def _stop_worker(self, error: ArtifactError) -> None:
        load_failure.report(self._settings, error)
        self._pipe.report_load_failure(os.getpid())  # SIGTERM alone would end the worker with the status of a success
        if os.getppid() == self._worker_pid:  # otherwise the worker has ended already
            os.kill(self._worker_pid, signal.SIGTERM)
        sys.exit(1)


def register_task(app: Celery, pool: PoolState, requeue: Requeue) -> None:
    """Register the task, and make every pool process load the pipeline when it starts.

    Args:
        app: the worker's Celery app.
        pool: loads the pipeline in each pool process.
        requeue: called in the parent when a pool process cannot end its attempt itself.
    """
    worker_process_init.connect(pool.start_process, weak=False)

    class BatchRequest(Request):  # Celery calls its methods in the parent when a task ends
        """A delivered message; requeues the batch of a failed task before Celery acknowledges the message."""

        def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
            reason = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps the exception
            if not isinstance(reason, Reject):  # on Reject, the task has requeued the batch
                requeue(BatchId(self.id), _lost_reason(reason), f"{type(reason).__name__}: {reason}")
            super().on_failure(exc_info, send_failed_event, return_ok)

    @app.task(name=PREDICT_BATCH, Request=BatchRequest)
    def predict_batch(batch_id: str) -> None:
        process = pool.process
        assert process is not None, "worker_process_init loads the pipeline or ends the process"
        try:
            process.run(BatchId(batch_id))
        except Exception as error:
            # The store refused, or the batch took too long. The store publishes the batch again, independently of this
            # message. The pause limits the rate of attempts while a fault lasts.
            log.exception("an attempt failed, requeuing its batch", batch=batch_id)
            if not isinstance(error, SoftTimeLimitExceeded):
                time.sleep(_RETRY_PAUSE_SECONDS)
            process.requeue(BatchId(batch_id), _lost_reason(error), f"{type(error).__name__}: {error}")
            raise Reject(error, requeue=False) from error


def _lost_reason(error: Exception) -> LostReason:
    if isinstance(error, WorkerLostError):
        return LostReason.PROCESS
    return LostReason.TIME_LIMIT if isinstance(error, (SoftTimeLimitExceeded, TimeLimitExceeded)) else LostReason.ERROR
