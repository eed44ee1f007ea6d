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
    """Types that `pipeline.skops` may contain besides those that skops trusts: full names, such as `features.Scaler`,
    separated by commas."""
    worker_queues: Annotated[tuple[Queue, ...], NoDecode, Field(min_length=1)] = tuple(Queue)
    """The queues that the worker consumes: `interactive`, `bulk`, or `interactive,bulk`, which takes from `bulk` only
    while `interactive` is empty. An interactive batch may then wait for the end of a slice of a bulk
    prediction, about 200 ms."""
    worker_nice: int = Field(default=0, ge=0, le=19)
    """The niceness of the worker and its pool processes: a higher value yields more CPU time to other processes."""
    worker_processes: int = Field(default=1, ge=1)
    """The number of pool processes of a worker; each loads its own copy of the pipeline."""
    model_load_seconds: float = Field(default=300, gt=0)
    """How long a pool process may take to load and warm up the pipeline before it is replaced."""
    batch_soft_seconds: float = Field(default=55, gt=0)
    """How long an attempt may take before it is interrupted; the pool process continues. Native code of a library is
    interrupted only when it returns."""
    batch_seconds: float = Field(default=60, gt=0)
    """How long an attempt may take before its pool process is killed."""
    worker_memory_bytes: int | None = Field(default=None, gt=0)
    """The most memory that a pool process may allocate (RLIMIT_DATA); rows that need more are rejected."""

    worker_http_host: str = "127.0.0.1"
    """The address that a worker's metrics and probes listen on; containers use 0.0.0.0."""
    worker_http_port: int | None = Field(default=None, ge=1, le=65535)
    """The port of a worker's `/metrics`, `/livez` and `/readyz`; if it is not set, they are not served."""

    @field_validator("trusted_types", "worker_queues", mode="before")
    @classmethod
    def _split_names(cls, names: object) -> object:
        return tuple(name for each in names.split(",") if (name := each.strip())) if isinstance(names, str) else names

    @model_validator(mode="after")
    def _check_time_limits(self) -> Self:
        if self.batch_soft_seconds >= self.batch_seconds:
            raise ValueError("SEPAL_BATCH_SOFT_SECONDS must be less than SEPAL_BATCH_SECONDS")
        return self
