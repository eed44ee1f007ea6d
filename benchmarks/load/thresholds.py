"""What was measured, beside what was expected of it."""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.load.settings import LoadSettings


class Measured(NamedTuple):
    """A run, as locust has counted it."""

    requests: int
    failures: int
    crashes: int
    """Callers' exceptions: a mistake in the load test itself."""
    requests_per_second: float
    p50_ms: float | None
    """From submission to result, of callers who wait; None where nobody has waited."""
    p99_ms: float | None


class Threshold(NamedTuple):
    """One expectation, and whether it was met."""

    name: str
    limit: str
    measured: str
    is_met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.is_met else 'MISSED'}  {self.name}: {self.measured} ({self.limit})"


def judge(measured: Measured, settings: LoadSettings) -> list[Threshold]:
    """Compare a run with everything that is expected of it."""
    n, ratio = measured.requests, measured.failures / max(measured.requests, 1)
    thresholds = [
        Threshold("requests", "at least 1", f"{n:,}", n > 0),
        Threshold("callers' exceptions", "none", str(measured.crashes), measured.crashes == 0),
        Threshold(
            "share of failed requests",
            f"at most {settings.load_max_failures:g}",
            f"{ratio:.3g}",
            ratio <= settings.load_max_failures,
        ),
    ]
    if (least := settings.load_min_rps) is not None:
        rate = measured.requests_per_second
        thresholds.append(Threshold("requests a second", f"at least {least:g}", f"{rate:.1f}", rate >= least))
    for name, most, ms in (
        ("median from submission to result", settings.load_max_median_ms, measured.p50_ms),
        ("99th percentile from submission to result", settings.load_max_tail_ms, measured.p99_ms),
    ):
        if most is not None:
            shown = "nobody waited" if ms is None else f"{ms:g} ms"
            thresholds.append(Threshold(name, f"at most {most:g} ms", shown, ms is not None and ms <= most))
    return thresholds


def all_met(thresholds: Sequence[Threshold]) -> bool:
    """Whether the run was as expected."""
    return all(threshold.is_met for threshold in thresholds)
