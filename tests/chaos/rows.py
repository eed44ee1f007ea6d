"""Faults of requests: rows that kill their process, hang, or allocate too much; and faults of clocks."""

import time
from collections.abc import Callable
from typing import Final

from tests.chaos.clock import HOUR
from tests.chaos.experiment import Experiment
from tests.chaos.fault import Fault
from tests.chaos.judge import Injection
from tests.chaos.traffic import Trouble

_BAR_SECONDS: Final = 15.0
_ALLOCATED_BYTES: Final = 8 * 1024**3
_UNDER_WAY_MS: Final = 1500  # longer than a process takes to apply the new offset of its clock
_FAULT_SECONDS: Final = 3.0


def send_troublesome(trouble: Trouble, argument: float = 0) -> Callable[[Experiment], Injection]:
    """Return a fault that sends one troublesome row with others that may share its batch."""

    def inject(experiment: Experiment) -> Injection:
        injection = experiment.start()
        experiment.send(trouble, argument, gateway=experiment.injection % len(experiment.site.gateways))
        return injection

    return inject


def move_clock(name: str) -> Callable[[Experiment], Injection]:
    """Return a fault that moves the clock of one process by an hour during a batch, and later back."""

    def inject(experiment: Experiment) -> Injection:
        # For up to a second after a jump of the broker's clock, until the next refresh, gateways refuse submissions.
        experiment.pause(1.5, 2)
        experiment.pid_of(experiment.send(Trouble.REPORT_PID, _UNDER_WAY_MS))
        injection = experiment.start()
        experiment.site.clocks[name].move(-HOUR if experiment.injection % 2 else HOUR)
        time.sleep(_FAULT_SECONDS)
        experiment.site.clocks[name].move(0)
        return experiment.end(injection)

    return inject


ROW_FAULTS: Final = [
    Fault("poison", "row that kills its process", send_troublesome(Trouble.KILL), _BAR_SECONDS, has_short_limits=True),
    Fault("hang", "row that hangs", send_troublesome(Trouble.HANG), _BAR_SECONDS, has_short_limits=True),
    Fault(
        "memory",
        "row that allocates too much memory",
        send_troublesome(Trouble.ALLOCATE, _ALLOCATED_BYTES),
        _BAR_SECONDS,
        has_short_limits=True,
    ),
]

CLOCK_FAULTS: Final = [
    Fault("clock-gateway", "clock moved in one gateway", move_clock("gateway-0"), has_clocks=True),
    Fault("clock-worker", "clock moved in one worker", move_clock("worker-0"), has_clocks=True),
    Fault("clock-broker", "clock moved in the broker", move_clock("broker"), has_clocks=True),
]
