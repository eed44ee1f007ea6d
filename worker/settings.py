"""The worker's settings."""

from pathlib import Path

from pydantic import Field

from shared.settings import BrokerSettings


class WorkerSettings(BrokerSettings):
    """What a worker can be told."""

    model_dir: Path = Path("models/iris/1")
    """The folder with `pipeline.joblib` and `card.json`."""
    worker_processes: int = Field(default=1, ge=1)
    """Pool processes of one worker; each holds its own copy of the pipeline."""
    model_load_seconds: float = Field(default=300, gt=0)
    """How long a pool process may take to load and warm up the pipeline before it is replaced."""
    max_attempts: int = Field(default=3, ge=1)
    """Tries at a batch before its predictions fail."""
    visibility_timeout_seconds: int = Field(default=120, ge=1)
    """After this long what a lost worker left unacknowledged is delivered again: longer than two batches take."""
