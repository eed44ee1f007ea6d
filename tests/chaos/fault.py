"""A fault: its name, how to inject it, and its bar on recovery."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.experiment import Experiment
from tests.chaos.judge import Injection


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, as a line of the table."""

    name: str
    title: str
    inject: Callable[[Experiment], Injection]
    """Injects the fault, and returns when it has ended; the site restarts killed processes."""
    recovery_seconds: float | None = None
    """The bar: the greatest time until every affected prediction is final; None if there is none."""
    has_clocks: bool = False
    """Whether the site needs movable clocks."""
    has_short_limits: bool = False
    """Whether the time limits of a batch are seconds instead of a minute."""
    may_lose: bool = False
    """Whether predictions that the broker had not yet written to its file may be lost."""
