"""Computes medians, spreads and ratios to the in-process service from the figures of all rounds."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from benchmarks.serving.results import Cell, Results

BASELINE: Final = "in_process"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity."""

    title: str
    of: Callable[[Cell], float | None]
    digits: int | None = None
    """Decimal places; None for at least three significant digits."""


THROUGHPUT: Final = Figure("Requests per second", lambda cell: cell.requests_per_second, 0)
P50: Final = Figure("p50, ms", lambda cell: cell.p50_ms if cell.answered else None)
CPU: Final = Figure("CPU seconds per 1,000 predictions", lambda cell: cell.cpu_per_thousand)
FIGURES: Final = (
    THROUGHPUT,
    P50,
    Figure("p95, ms", lambda cell: cell.p95_ms if cell.answered else None),
    Figure("p99, ms", lambda cell: cell.p99_ms if cell.answered else None),
    CPU,
    Figure("Peak memory, MiB", lambda cell: cell.memory_mib, 0),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of a figure over the rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def from_values(cls, values: Iterable[float | None]) -> "Spread | None":
        """Summarise the rounds that have the figure; None if no round has it."""
        present = [value for value in values if value is not None]
        if not present:
            return None
        return cls(statistics.median(present), min(present), max(present), len(present))


@dataclass(frozen=True, slots=True)
class Summary:
    """Queries on the results, for the tables and the chart."""

    results: Results

    def cells(self, system: str, connections: int, rows: int) -> list[Cell]:
        """Return one cell of each round."""
        key = (system, connections, rows)
        return [cell for cell in self.results.cells if (cell.system, cell.connections, cell.rows) == key]

    def spread(self, figure: Figure, system: str, connections: int, rows: int) -> Spread | None:
        """Summarise one figure of one cell over the rounds."""
        return Spread.from_values(figure.of(cell) for cell in self.cells(system, connections, rows))

    def ratio(
        self, figure: Figure, system: str, connections: int, rows: int, baseline: str = BASELINE
    ) -> Spread | None:
        """Summarise the ratios between a system and its baseline within each round."""
        own = {cell.round: figure.of(cell) for cell in self.cells(system, connections, rows)}
        base = {cell.round: figure.of(cell) for cell in self.cells(baseline, connections, rows)}
        return Spread.from_values(
            value / other for number, value in own.items() if value is not None and (other := base.get(number))
        )

    def errors(self, system: str, connections: int, rows: int) -> tuple[int, int] | None:
        """Return the number of errors of all kinds and of requests, over all rounds."""
        cells = self.cells(system, connections, rows)
        if not cells:
            return None
        return sum(sum(cell.errors.values()) for cell in cells), sum(cell.requests for cell in cells)

    def absence_reason(self, system: str) -> str | None:
        """Return why a system has no figures, with the last line of its log; None if it has figures."""
        if any(cell.system == system for cell in self.results.cells):
            return None
        for failure in self.results.failures:
            if failure.system == system:
                first, *others = failure.reason.strip().splitlines()
                return f"{'failed' if failure.started else 'did not start'}: {': '.join([first, *others[-1:]])}"
        return "was not measured"
