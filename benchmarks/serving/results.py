"""The results of a run: every figure of every round."""

from pathlib import Path
from typing import Self

import msgspec

from benchmarks.serving.errors import CannotMeasure


class Plan(msgspec.Struct, frozen=True):
    """The parameters of a run."""

    rounds: int
    seconds: int
    warm_up_seconds: int
    connections: list[int]
    rows: list[int]
    load_generator: str
    scenario: str = "iris"


class SystemDescription(msgspec.Struct, frozen=True):
    """A measured system, with its versions and settings."""

    name: str
    title: str
    versions: dict[str, str]
    settings: dict[str, str]


class Cell(msgspec.Struct, frozen=True):
    """The figures of one system, number of connections and number of rows per request, in one round."""

    system: str
    round: int
    connections: int
    rows: int
    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: dict[str, int]
    cpu_seconds: float
    """CPU seconds of all processes of the system during the measurement."""
    memory_mib: float
    """Proportional set size of all processes of the system: the larger of before and after."""

    @property
    def answered(self) -> int:
        """The number of requests without an error."""
        return self.requests - self.errors["status"] - self.errors["timeout"]

    @property
    def requests_per_second(self) -> float:
        """The rate of requests without an error."""
        return self.answered / self.seconds

    @property
    def cpu_per_thousand(self) -> float | None:
        """CPU seconds per 1,000 predictions; None if no request succeeded."""
        return self.cpu_seconds / self.answered * 1000 if self.answered else None


class Failure(msgspec.Struct, frozen=True):
    """A system that did not start, or failed later."""

    system: str
    round: int
    started: bool
    where: str
    reason: str


class Ledger(msgspec.Struct, frozen=True):
    """The rows that a durable system accepted and finished in one round."""

    system: str
    round: int
    accepted: int
    final: int
    answered: int
    """Rows whose results the load generator has received."""

    @property
    def lost(self) -> int:
        """Rows that were accepted but did not become final, or were received but never accepted."""
        return (self.accepted - self.final) + max(0, self.answered - self.accepted)


class Results(msgspec.Struct):
    """All results of a run."""

    commit: str
    machine: dict[str, str]
    plan: Plan
    systems: list[SystemDescription]
    cells: list[Cell] = []
    failures: list[Failure] = []
    ledgers: list[Ledger] = []

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
