"""Compares the figures of a run with the thresholds."""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.load.settings import LoadSettings


class RunFigures(NamedTuple):
    """The figures of a run, counted by locust."""

    requests: int
    failures: int
    crashes: int
    """Exceptions in the load test's code."""
    requests_per_second: float
    p50_ms: float | None
    """Median time from submission to result, for users that wait; None if there were none."""
    p99_ms: float | None


class Threshold(NamedTuple):
    """A threshold, and whether the run met it."""

    name: str
    limit: str
    measured: str
    is_met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.is_met else 'MISSED'}  {self.name}: {self.measured} ({self.limit})"


def check_thresholds(figures: RunFigures, settings: LoadSettings) -> list[Threshold]:
    """Compare a run with all thresholds that are set."""
    n, ratio = figures.requests, figures.failures / max(figures.requests, 1)
    thresholds = [
        Threshold("requests", "at least 1", f"{n:,}", n > 0),
        Threshold("exceptions in the load test", "none", str(figures.crashes), figures.crashes == 0),
        Threshold(
            "share of failed requests",
            f"at most {settings.load_max_failures:g}",
            f"{ratio:.3g}",
            ratio <= settings.load_max_failures,
        ),
    ]
    if (minimum := settings.load_min_rps) is not None:
        rate = figures.requests_per_second
        thresholds.append(Threshold("requests/s", f"at least {minimum:g}", f"{rate:.1f}", rate >= minimum))
    for name, maximum, ms in (
        ("median from submission to result", settings.load_max_median_ms, figures.p50_ms),
        ("99th percentile from submission to result", settings.load_max_tail_ms, figures.p99_ms),
    ):
        if maximum is not None:
            shown = "no user waited" if ms is None else f"{ms:g} ms"
            thresholds.append(Threshold(name, f"at most {maximum:g} ms", shown, ms is not None and ms <= maximum))
    return thresholds


def are_all_met(thresholds: Sequence[Threshold]) -> bool:
    """Return whether the run met every threshold."""
    return all(threshold.is_met for threshold in thresholds)
