"""A fault: its name, how to inject it, and its bar on recovery."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.experiment import Experiment
from tests.chaos.judge import Injection


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the table."""

    name: str
    title: str
    inject: Callable[[Experiment], Injection]
    """Returns when the fault has ended; the site restarts killed processes."""
    recovery_seconds: float | None = None
    """The bar: until then, every affected prediction must be final. None if there is no bar."""
    has_clocks: bool = False
    """Whether the site needs movable clocks."""
    has_short_limits: bool = False
    """Whether the time limits of a batch are seconds instead of a minute."""
    may_lose: bool = False
    """Whether predictions may be lost that the broker had not written to its file."""
