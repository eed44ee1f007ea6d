"""`python -m worker`: verifies the model directory, then consumes messages."""

import os
import secrets
import socket
import sys

from shared.errors import ArtifactError
from shared.names import Queue
from worker.app import consume, create_app
from worker.liveness import load_failure
from worker.pool.artifact import verify
from worker.pool.pipe import PoolPipe
from worker.settings import WorkerSettings


def main() -> None:
    """Run one worker until it stops."""
    settings = WorkerSettings()
    try:
        card = verify(settings.model_dir)
    except ArtifactError as error:
        load_failure.report(settings, error)
        sys.exit(f"sepal worker: cannot serve {settings.model_dir}: {error}")
    os.nice(settings.worker_nice)  # before the fork of the pool processes
    # Random: a worker that is restarted in a container has the same pid and host name, but must have another name.
    program = "bulk-worker" if settings.worker_queues == (Queue.BULK,) else "worker"
    name = f"{program}-{secrets.token_hex(4)}@{socket.gethostname()}"
    pipe = PoolPipe()
    sys.exit(consume(create_app(settings, card, name, pipe), name, settings.worker_processes, pipe))


if __name__ == "__main__":
    main()
