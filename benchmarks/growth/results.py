"""What a run leaves behind: every figure of every round, as it was read."""

from pathlib import Path
from typing import Self

import msgspec

from benchmarks.serving import machine, results
from benchmarks.serving.errors import CannotMeasure


class Batch(msgspec.Struct, frozen=True):
    """One size of batch in one round: medians over many calls."""

    round: int
    n_rows: int
    pipeline_ms: float
    """Inside the pipeline alone."""
    predict_ms: float
    """With splitting and encoding."""


class Waiting(msgspec.Struct, frozen=True):
    """One number of waiting predictions in one round: medians over many requests."""

    round: int
    waiting: int
    batches: int
    """That these share."""
    submit_ms: float
    poll_ms: float
    broker_mib: float
    """What the broker says it uses."""
    bytes_each: float
    """By which that grew for each prediction that was added to reach this number."""


class Artifact(msgspec.Struct, frozen=True):
    """One start of a worker with one artifact."""

    round: int
    name: str
    size: int
    """In bytes."""
    start_seconds: float
    """From starting the worker until it announces a pool process that holds the model."""
    parent_mib: float
    """Proportional set size of Celery's parent."""
    pool_mib: float
    """And of its pool process."""
    predict_ms: float
    """Of one row, inside the worker: the median over many requests."""


class Failure(msgspec.Struct, frozen=True):
    """What could not be measured."""

    part: str
    round: int
    where: str
    reason: str


class Growth(msgspec.Struct):
    """A whole run."""

    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, str]
    """What of Sepal was set in this run's environment."""
    rounds: dict[str, int]
    """Of each part that was asked for."""
    batch: list[Batch] = []
    waiting: list[Waiting] = []
    alone_bytes: list[float] = []
    """In each round, the broker's memory for each waiting prediction that has a batch to itself."""
    gateways: results.Results | None = None
    artifact: list[Artifact] = []
    failures: list[Failure] = []

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            CannotMeasure: there is nothing.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise CannotMeasure(f"{path} cannot be read ({error.strerror}): run the benchmark first") from error

    def write(self, path: Path) -> None:
        """Write everything measured so far."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    def note(self, part: str, number: int, where: str, error: Exception) -> None:
        """Keep what failed: it is in the report, too."""
        reason = machine.conceal(str(error) or type(error).__name__)
        self.failures.append(Failure(part, number, where, reason))
        print(f"round {number + 1}  {part} failed at {where}: {reason}", flush=True)
