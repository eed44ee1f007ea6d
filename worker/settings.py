"""The worker's settings."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.names import Queue
from shared.settings import BrokerSettings


class WorkerSettings(BrokerSettings):
    """Settings of a worker."""

    model_dir: Path = Path("models/iris/1")
    """The folder with `card.json` and the pipeline."""
    trusted_types: Annotated[tuple[str, ...], NoDecode] = ()
    """Types that `pipeline.skops` may hold beside those that skops trusts: full names, such as `features.Scaler`,
    separated by commas."""
    worker_queues: Annotated[tuple[Queue, ...], NoDecode, Field(min_length=1)] = tuple(Queue)
    """The queues that the worker consumes: `interactive`, `bulk`, or `interactive,bulk`, which takes from `bulk` only
    while `interactive` is empty. A slice of a bulk prediction takes about 200 ms, and people wait behind it."""
    worker_nice: int = Field(default=0, ge=0, le=19)
    """How much the worker and its pool processes yield to other processes of the machine (`nice`)."""
    worker_processes: int = Field(default=1, ge=1)
    """Pool processes of one worker; each holds its own copy of the pipeline."""
    model_load_seconds: float = Field(default=300, gt=0)
    """How long a pool process may take to load and warm up the pipeline before it is replaced."""
    batch_soft_seconds: float = Field(default=55, gt=0)
    """After this long a batch is interrupted: the attempt ends, the pool process stays. Native code of a library is
    interrupted only when it returns."""
    batch_seconds: float = Field(default=60, gt=0)
    """After this long the pool process that runs the batch is killed, which ends the attempt."""
    worker_memory_bytes: int | None = Field(default=None, gt=0)
    """The most memory that a pool process may allocate (RLIMIT_DATA); rows that need more are rejected."""

    worker_http_host: str = "127.0.0.1"
    """The address that a worker's metrics and probes listen on; containers use 0.0.0.0."""
    worker_http_port: int | None = Field(default=None, ge=1, le=65535)
    """The port of a worker's `/metrics`, `/livez` and `/readyz`; unset, they are not served."""

    @field_validator("trusted_types", "worker_queues", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        return tuple(name for each in names.split(",") if (name := each.strip())) if isinstance(names, str) else names

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.batch_soft_seconds >= self.batch_seconds:
            raise ValueError("SEPAL_BATCH_SOFT_SECONDS must be less than SEPAL_BATCH_SECONDS")
        return self
