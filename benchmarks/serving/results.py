"""What a run leaves behind: every figure of every round, as it was read."""

from pathlib import Path
from typing import Self

import msgspec

from benchmarks.serving.errors import CannotMeasure


class Plan(msgspec.Struct, frozen=True):
    """What was asked for."""

    rounds: int
    seconds: int
    warm_up_seconds: int
    connections: list[int]
    rows: list[int]
    load_generator: str


class Described(msgspec.Struct, frozen=True):
    """A system that took part."""

    name: str
    title: str
    versions: dict[str, str]
    settings: dict[str, str]


class Cell(msgspec.Struct, frozen=True):
    """One system, at one number of connections and of rows a request, in one round."""

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
    """Of all the system's processes, over the measured time."""
    memory_mib: float
    """Proportional set size of all the system's processes: the larger of before and after."""

    @property
    def answered(self) -> int:
        """Requests that were answered well."""
        return self.requests - self.errors["status"] - self.errors["timeout"]

    @property
    def requests_per_second(self) -> float:
        """Good answers only."""
        return self.answered / self.seconds

    @property
    def cpu_per_thousand(self) -> float | None:
        """CPU seconds for 1,000 predictions; None where there were none."""
        return self.cpu_seconds / self.answered * 1000 if self.answered else None


class Failure(msgspec.Struct, frozen=True):
    """A system that did not start, or did not last."""

    system: str
    round: int
    started: bool
    where: str
    reason: str


class Ledger(msgspec.Struct, frozen=True):
    """Whether a durable system kept what it took on in one round, in rows."""

    system: str
    round: int
    accepted: int
    final: int
    answered: int
    """Rows whose answers the load generator has received."""

    @property
    def lost(self) -> int:
        """Rows that were accepted and never became final, or answered and never accepted."""
        return (self.accepted - self.final) + max(0, self.answered - self.accepted)


class Results(msgspec.Struct):
    """A whole run."""

    commit: str
    machine: dict[str, str]
    plan: Plan
    systems: list[Described]
    cells: list[Cell] = []
    failures: list[Failure] = []
    ledgers: list[Ledger] = []

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
