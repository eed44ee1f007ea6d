"""The outcomes of bulk predictions, and the bars."""

from collections.abc import Sequence
from typing import Final

import msgspec

from tests.chaos.judge import median

_MAX_EXAMPLES: Final = 20


class BulkVerdict(msgspec.Struct):
    """The counts of one fault; each upload is one injection."""

    uploads: int = 0
    succeeded: int = 0
    """Succeeded, with the pipeline's own results for every row."""
    never_accepted: int = 0
    """Refused until the time-out."""
    lost: int = 0
    """Accepted, and not `succeeded` at the time-out, or its result could not be downloaded."""
    wrong: int = 0
    """Different in any bit from the pipeline's own results."""
    left: int = 0
    """Objects, keys, reserved bytes, open rows and table processes that are no longer needed."""
    unneeded: int = 0
    """Objects that killed attempts left, and that were deleted with the other objects of their predictions."""
    retried_downloads: int = 0
    """Downloads that were interrupted and retried."""
    refusals: dict[str, int] = {}
    """Uploads that failed before one was accepted, by code; `no-answer` if the connection was lost."""
    states: dict[str, int] = {}
    """Descriptions of the lost predictions."""
    recoveries: list[float | None] = []
    """Seconds from the end of each injection until the prediction succeeded; None if it never did."""
    examples: list[str] = []

    def add_left(self, found: Sequence[str]) -> None:
        """Count the leftovers."""
        self.left += len(found)
        self.examples += found[: _MAX_EXAMPLES - len(self.examples)]

    @property
    def median(self) -> float | None:
        """The median recovery; None if half of them never happened, or if there are none."""
        return median(self.recoveries)

    @property
    def slowest(self) -> float | None:
        """The slowest recovery; None if one never happened."""
        times = [one for one in self.recoveries if one is not None]
        return max(times, default=0.0) if len(times) == len(self.recoveries) else None

    def missed(self, bar_seconds: float) -> list[str]:
        """Describe the missed bars."""
        counts = {"never accepted": self.never_accepted, "lost": self.lost, "wrong": self.wrong, "left over": self.left}
        missed = [f"bulk predictions: {name}: {count}" for name, count in counts.items() if count]
        if self.slowest is not None and self.slowest >= bar_seconds:
            missed.append(f"bulk recovery: {self.slowest:.1f} s; the bar is {bar_seconds:.0f} s")
        return missed
