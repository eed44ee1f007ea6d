"""The one task, and the pool process it runs in."""

import os
import signal
import sys
import time
from typing import Final

import structlog
from celery import Celery
from celery.exceptions import Reject
from celery.signals import worker_process_init

from shared.errors import ArtifactError
from shared.ids import BatchId
from shared.names import PREDICT_BATCH
from worker.heartbeat import LoadedProcesses
from worker.process import PoolProcess
from worker.settings import WorkerSettings

_PAUSE_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class Pool:
    """What every pool process of one worker shares before the fork, and fills after it."""

    def __init__(self, settings: WorkerSettings, loaded: LoadedProcesses) -> None:
        self._settings = settings
        self._loaded = loaded
        self._worker_pid = os.getpid()
        self.process: PoolProcess | None = None

    def start_process(self, **_: object) -> None:
        """Load the pipeline; on failure stop the whole worker, which could only fail again."""
        try:
            self.process = PoolProcess.start(self._settings)
        except ArtifactError as error:
            log.critical("cannot serve this model", code=error.code, reason=str(error))
            self._stop_worker()
        except Exception:
            log.critical("cannot load this model", exc_info=True)
            self._stop_worker()
        self._loaded.add(os.getpid())

    def _stop_worker(self) -> None:
        if os.getppid() == self._worker_pid:  # or it is gone already, and the parent is init
            os.kill(self._worker_pid, signal.SIGTERM)
        sys.exit(1)


def register(app: Celery, pool: Pool) -> None:
    """Give the app its task, and its pool processes their pipeline."""
    worker_process_init.connect(pool.start_process, weak=False)

    @app.task(name=PREDICT_BATCH)
    def predict_batch(batch_id: str) -> None:
        assert pool.process is not None, "worker_process_init loads the pipeline or ends the process"
        try:
            pool.process.run(BatchId(batch_id))
        except Exception as error:
            # Celery would acknowledge a failed task, and its batch would wait for ever. This is for a store that
            # refuses (full, read-only): the pause keeps a fault that stays from turning round at full speed.
            log.exception("gave a batch back", batch=batch_id)
            time.sleep(_PAUSE_SECONDS)
            raise Reject(error, requeue=True) from error
