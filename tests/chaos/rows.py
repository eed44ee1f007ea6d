"""Faults that come in by the front door: rows that kill, hang or eat; and clocks that jump."""

import time
from collections.abc import Callable
from typing import Final

from tests.chaos.clock import HOUR
from tests.chaos.fault import Fault
from tests.chaos.judge import Injection
from tests.chaos.scene import Scene
from tests.chaos.traffic import Trouble

_POISON_SECONDS: Final = 15.0
_EATEN_BYTES: Final = 8 * 1024**3
_UNDER_WAY_MS: Final = 1500  # longer than a process takes to notice that its clock was moved
_MOVED_SECONDS: Final = 3.0


def send_troublesome(trouble: Trouble, argument: float = 0) -> Callable[[Scene], Injection]:
    """Make the fault that is one row, sent with others that may share its batch."""

    def inject(scene: Scene) -> Injection:
        injection = scene.now()
        scene.send(trouble, argument, gateway=scene.injection % len(scene.site.gateways))
        return injection

    return inject


def move_clock(name: str) -> Callable[[Scene], Injection]:
    """Make the fault that is one process's clock an hour ahead, or behind, for a while; a batch is under way."""

    def inject(scene: Scene) -> Injection:
        # Once a gateway has seen the broker's clock jump; until then, for up to a second, it is refused.
        scene.pause(1.5, 2)
        scene.told(scene.send(Trouble.TELL, _UNDER_WAY_MS))
        injection = scene.now()
        scene.site.clocks[name].move(-HOUR if scene.injection % 2 else HOUR)
        time.sleep(_MOVED_SECONDS)
        scene.site.clocks[name].move(0)
        return scene.over(injection)

    return inject


ROW_FAULTS: Final = [
    Fault("poison", "row that kills its process", send_troublesome(Trouble.DIE), _POISON_SECONDS, has_limits=True),
    Fault("hang", "row that hangs", send_troublesome(Trouble.HANG), _POISON_SECONDS, has_limits=True),
    Fault(
        "memory", "row that eats memory", send_troublesome(Trouble.EAT, _EATEN_BYTES), _POISON_SECONDS, has_limits=True
    ),
]

CLOCK_FAULTS: Final = [
    Fault("clock-gateway", "clock moved in one gateway", move_clock("gateway-0"), has_clocks=True),
    Fault("clock-worker", "clock moved in one worker", move_clock("worker-0"), has_clocks=True),
    Fault("clock-broker", "clock moved in the broker", move_clock("broker"), has_clocks=True),
]
