"""What a fault is: a name, a way to inject it, and how soon everything that it met must be final."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.judge import Injection
from tests.chaos.scene import Scene


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table."""

    name: str
    title: str
    inject: Callable[[Scene], Injection]
    """Returns once the fault itself is over; whatever was killed is started again by the site."""
    recovery_seconds: float | None = None
    """The bar; None where there is none."""
    has_clocks: bool = False
    """Whether the site's clocks must be movable."""
    has_limits: bool = False
    """Whether a batch may take seconds only, instead of a minute."""
    may_lose: bool = False
    """Whether what the broker had not written yet may be lost."""
