"""Faults of the broker and of the way to it: killed, frozen, slow, cut, half open, full."""

import signal
import time
from typing import Final

from tests.chaos.fault import Fault
from tests.chaos.judge import Injection
from tests.chaos.scene import Scene
from tests.stack import wait_for

_BACK_SECONDS: Final = 5.0
_LASTING_SECONDS: Final = 4.0  # longer than a gateway waits for the broker (2 s), shorter than a worker does (5 s)
_DELAY_SECONDS: Final = 0.3  # in each direction
_LEFT_BYTES: Final = 32 * 1024  # of memory, when the broker is full: a few dozen batches


def kill_broker(scene: Scene) -> Injection:
    """Kill the broker, which syncs every write."""
    scene.pause(0.2, 1)
    broker, injection = scene.site.broker, scene.now()
    started = broker.started
    broker.signal(signal.SIGKILL)
    wait_for(lambda: broker.started > started and scene.site.broker_answers(), "the broker")
    return scene.over(injection)


def kill_lazy_broker(scene: Scene) -> Injection:
    """Kill the broker, which syncs once a second; it is started again as one that syncs always."""
    scene.site.redis.config_set("appendfsync", "everysec")
    scene.pause(1, 2)
    return kill_broker(scene)


def freeze_broker(scene: Scene) -> Injection:
    """Have the broker answer nobody for a while; it works off what has come meanwhile."""
    scene.pause(0.2, 1)
    injection = scene.now()
    scene.site.redis.client_pause(round(_LASTING_SECONDS * 1000), all=True)
    time.sleep(_LASTING_SECONDS)
    return scene.over(injection)


def slow_down(scene: Scene) -> Injection:
    """Delay everything on its way to the broker and back."""
    injection = scene.now()
    scene.site.proxy.delay(_DELAY_SECONDS)
    time.sleep(_LASTING_SECONDS)
    scene.site.proxy.delay(0)
    return scene.over(injection)


def cut(scene: Scene) -> Injection:
    """Break every connection to the broker."""
    scene.pause(0.2, 1)
    injection = scene.now()
    scene.site.proxy.cut()
    return injection


def half_open(scene: Scene) -> Injection:
    """Have every connection swallow what it is given, and stay open; those that are made later are good again."""
    scene.pause(0.2, 1)
    injection = scene.now()
    scene.site.proxy.go_dark()
    time.sleep(_LASTING_SECONDS)
    scene.site.proxy.light_up()
    return scene.over(injection)


def fill_broker(scene: Scene) -> Injection:
    """Give the broker hardly more memory than it uses."""
    redis = scene.site.redis
    injection = scene.now()
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + _LEFT_BYTES)
    time.sleep(_LASTING_SECONDS)
    redis.config_set("maxmemory", 0)
    return scene.over(injection)


LINK_FAULTS: Final = [
    Fault("broker", "broker killed, `appendfsync always`", kill_broker, _BACK_SECONDS),
    Fault("broker-lazy", "broker killed, `appendfsync everysec`", kill_lazy_broker, _BACK_SECONDS, may_lose=True),
    Fault("frozen", "broker frozen (`CLIENT PAUSE`)", freeze_broker, _BACK_SECONDS),
    Fault("slow", "broker slow to reach", slow_down, _BACK_SECONDS),
    Fault("cut", "connections to the broker cut", cut, _BACK_SECONDS),
    Fault("half-open", "connections to the broker half open", half_open, _BACK_SECONDS),
    Fault("full", "broker full (`maxmemory`)", fill_broker, _BACK_SECONDS),
]
