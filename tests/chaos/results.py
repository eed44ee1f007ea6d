"""What a chaos run leaves behind, and the bars that it is held to."""

from pathlib import Path
from typing import Any, Final, Self

import msgspec

from tests.chaos.judge import Verdict, median

ACCEPTED_BAR: Final = 20_000
"""Predictions accepted in all, below which a run says too little."""


class Row(msgspec.Struct):
    """One fault's line of the table."""

    fault: str
    title: str
    injections: int
    verdict: Verdict
    committed_twice: int
    recoveries: list[float | None]
    """Seconds, one for each injection that met a prediction; none for one that never became final."""
    bar_seconds: float | None
    may_lose: bool
    backlog: int
    """Rows that the store counts as accepted and not final, when all was over."""
    seconds: float
    """That the fault's run took in all."""

    @property
    def median(self) -> float | None:
        """Of the recoveries; None where half of them never came, or there were none."""
        return median(self.recoveries)

    @property
    def slowest(self) -> float | None:
        """Of the recoveries; None where one never came, or there were none."""
        return (
            None if None in self.recoveries else max((one for one in self.recoveries if one is not None), default=None)
        )

    def missed(self) -> list[str]:
        """Say which bars the row misses."""
        verdict = self.verdict
        counts = {name: getattr(verdict, name) for name in ("changed", "wrong", "unchecked")}
        counts["committed twice"] = self.committed_twice
        if not self.may_lose:
            counts["lost"] = verdict.lost
        missed = [f"{what}: {count}" for what, count in counts.items() if count]
        if self.bar_seconds is not None and self.recoveries:
            if self.slowest is None:
                missed.append("recovery: not always")
            elif self.slowest >= self.bar_seconds:
                missed.append(f"recovery: {self.slowest:.1f} s, and not under {self.bar_seconds:.0f} s")
        return missed


class Results(msgspec.Struct):
    """A whole run."""

    commit: str
    date: str
    machine: dict[str, str]
    settings: dict[str, Any]
    is_complete: bool
    """Whether every fault was asked for."""
    rows: list[Row] = []

    @property
    def accepted(self) -> int:
        """Predictions accepted over all rows of the table."""
        return sum(row.verdict.accepted for row in self.rows)

    def missed(self) -> list[str]:
        """Say which bars the run misses."""
        missed = [f"{row.fault}: {what}" for row in self.rows for what in row.missed()]
        if self.is_complete and self.accepted < ACCEPTED_BAR:
            missed.append(f"accepted: {self.accepted:,}, and not {ACCEPTED_BAR:,}")
        return missed

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def write(self, path: Path) -> None:
        """Write everything there is so far."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
