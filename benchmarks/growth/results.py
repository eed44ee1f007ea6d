"""The results of a run: every figure of every round."""

from pathlib import Path
from typing import Self

import msgspec

from benchmarks.serving import machine, results
from benchmarks.serving.errors import CannotMeasure


class BatchFigures(msgspec.Struct, frozen=True):
    """The figures of one batch size in one round; times are medians over many calls."""

    round: int
    n_rows: int
    pipeline_ms: float
    """Time in the pipeline only."""
    predict_ms: float
    """Time in the predictor, including splitting and encoding."""


class WaitingFigures(msgspec.Struct, frozen=True):
    """The figures of one number of queued predictions in one round; times are medians over many requests."""

    round: int
    waiting: int
    batches: int
    """The number of batches that the predictions are in."""
    submit_ms: float
    poll_ms: float
    broker_mib: float
    """Redis `used_memory`."""
    bytes_each: float
    """The growth of `used_memory` per prediction added to reach this number."""


class ArtifactFigures(msgspec.Struct, frozen=True):
    """The figures of one start of a worker with one artifact."""

    round: int
    name: str
    size: int
    """Size of the artifact in bytes."""
    start_seconds: float
    """Time from the start of the worker until it announces a loaded pool process."""
    parent_mib: float
    """Proportional set size of the Celery parent."""
    pool_mib: float
    """Proportional set size of its pool process."""
    predict_ms: float
    """Time in the worker for one row: the median over many requests."""


class Failure(msgspec.Struct, frozen=True):
    """A measurement that failed."""

    part: str
    round: int
    where: str
    reason: str


class GrowthResults(msgspec.Struct):
    """All results of a run."""

    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, str]
    """The `SEPAL_` variables of the run's environment."""
    rounds: dict[str, int]
    """The number of rounds of each part of the run."""
    batch: list[BatchFigures] = []
    waiting: list[WaitingFigures] = []
    alone_bytes: list[float] = []
    """For each round, the broker's memory in bytes per queued prediction that is alone in its batch."""
    gateways: results.Results | None = None
    artifact: list[ArtifactFigures] = []
    failures: list[Failure] = []

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` wrote.

        Raises:
            CannotMeasure: the file cannot be read.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise CannotMeasure(f"{path} cannot be read ({error.strerror}): run the benchmark first") from error

    def write(self, path: Path) -> None:
        """Write all results so far."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    def record_failure(self, part: str, number: int, where: str, error: Exception) -> None:
        """Record a failure for the report, and print it."""
        reason = machine.conceal_identity(str(error) or type(error).__name__)
        self.failures.append(Failure(part, number, where, reason))
        print(f"round {number + 1}  {part} failed at {where}: {reason}", flush=True)
