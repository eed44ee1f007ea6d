"""The results of a chaos run, and the bars."""

from pathlib import Path
from typing import Any, Final, Self

import msgspec

from tests.chaos.bulk.verdict import BulkVerdict
from tests.chaos.judge import Verdict, median

ACCEPTED_BAR: Final = 20_000
"""The smallest number of accepted predictions in a complete run."""


class FaultResult(msgspec.Struct):
    """The result of one fault: one line of the table."""

    fault: str
    title: str
    injections: int
    verdict: Verdict
    committed_twice: int
    recoveries: list[float | None]
    """Seconds, for each injection that affected a prediction; None if one of them never became final."""
    bar_seconds: float | None
    may_lose: bool
    backlog: int
    """Rows that the store counts as accepted and not final at the end."""
    seconds: float
    """Duration of all injections of the fault."""
    bulk: BulkVerdict | None = None
    """Of the bulk predictions, if the fault is one of these."""
    bulk_bar_seconds: float = 0.0

    @property
    def median(self) -> float | None:
        """The median recovery; None if half of them never happened, or if there are none."""
        return median(self.recoveries)

    @property
    def slowest(self) -> float | None:
        """The slowest recovery; None if one never happened, or if there are none."""
        return (
            None if None in self.recoveries else max((one for one in self.recoveries if one is not None), default=None)
        )

    def missed(self) -> list[str]:
        """Describe the bars that the fault misses."""
        verdict = self.verdict
        counts = {name: getattr(verdict, name) for name in ("changed", "wrong", "unchecked")}
        counts["committed twice"] = self.committed_twice
        if not self.may_lose:
            counts["lost"] = verdict.lost
        missed = [f"{name}: {count}" for name, count in counts.items() if count]
        if self.bar_seconds is not None and self.recoveries:
            if self.slowest is None:
                missed.append("recovery: a prediction never became final")
            elif self.slowest >= self.bar_seconds:
                missed.append(f"recovery: {self.slowest:.1f} s; the bar is {self.bar_seconds:.0f} s")
        if self.bulk is not None:
            missed += self.bulk.missed(self.bulk_bar_seconds)
        return missed


class Results(msgspec.Struct):
    """The results of all faults."""

    commit: str
    date: str
    machine: dict[str, str]
    settings: dict[str, Any]
    is_complete: bool
    """Whether the run has every fault."""
    faults: list[FaultResult] = msgspec.field(name="rows", default_factory=list)

    @property
    def accepted(self) -> int:
        """Predictions accepted during all faults."""
        return sum(fault.verdict.accepted for fault in self.faults)

    def missed(self) -> list[str]:
        """Describe the bars that the run misses."""
        missed = [f"{result.fault}: {bar}" for result in self.faults for bar in result.missed()]
        if self.is_complete and self.accepted < ACCEPTED_BAR:
            missed.append(f"accepted: {self.accepted:,}; the bar is {ACCEPTED_BAR:,}")
        return missed

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` has written."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def write(self, path: Path) -> None:
        """Write the results so far as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
