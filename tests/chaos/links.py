"""Faults of the broker and its connections: killed, frozen, slow, cut, half-open, full."""

import signal
import time
from typing import Final

from tests.chaos.experiment import Experiment
from tests.chaos.fault import Fault
from tests.chaos.judge import Injection
from tests.stack import wait_for

_BAR_SECONDS: Final = 5.0
_FAULT_SECONDS: Final = 4.0  # longer than a gateway waits for the broker (2 s), shorter than a worker (5 s)
_DELAY_SECONDS: Final = 0.3  # in each direction
_FREE_BYTES: Final = 32 * 1024  # free memory of a full broker: a few dozen batches


def kill_broker(experiment: Experiment) -> Injection:
    """Kill a broker that syncs every write."""
    experiment.pause(0.2, 1)
    broker, injection = experiment.site.broker, experiment.start()
    started = broker.started
    broker.signal(signal.SIGKILL)
    wait_for(lambda: broker.started > started and experiment.site.broker_answers(), "the broker")
    return experiment.end(injection)


def kill_broker_everysec(experiment: Experiment) -> Injection:
    """Kill a broker that syncs once a second; after the restart it syncs every write."""
    experiment.site.redis.config_set("appendfsync", "everysec")
    experiment.pause(1, 2)
    return kill_broker(experiment)


def freeze_broker(experiment: Experiment) -> Injection:
    """Pause the broker for a while; afterwards it runs the commands that it has received."""
    experiment.pause(0.2, 1)
    injection = experiment.start()
    experiment.site.redis.client_pause(round(_FAULT_SECONDS * 1000), all=True)
    time.sleep(_FAULT_SECONDS)
    return experiment.end(injection)


def slow_broker(experiment: Experiment) -> Injection:
    """Delay all data to and from the broker."""
    injection = experiment.start()
    experiment.site.proxy.delay(_DELAY_SECONDS)
    time.sleep(_FAULT_SECONDS)
    experiment.site.proxy.delay(0)
    return experiment.end(injection)


def cut_connections(experiment: Experiment) -> Injection:
    """Close every connection to the broker."""
    experiment.pause(0.2, 1)
    injection = experiment.start()
    experiment.site.proxy.cut()
    return injection


def half_open_connections(experiment: Experiment) -> Injection:
    """Discard all data for a while and leave connections open; only connections made later work again."""
    experiment.pause(0.2, 1)
    injection = experiment.start()
    experiment.site.proxy.start_discarding()
    time.sleep(_FAULT_SECONDS)
    experiment.site.proxy.stop_discarding()
    return experiment.end(injection)


def fill_broker(experiment: Experiment) -> Injection:
    """Limit the broker's memory to little more than it uses."""
    redis = experiment.site.redis
    injection = experiment.start()
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + _FREE_BYTES)
    time.sleep(_FAULT_SECONDS)
    redis.config_set("maxmemory", 0)
    return experiment.end(injection)


LINK_FAULTS: Final = [
    Fault("broker", "broker killed, `appendfsync always`", kill_broker, _BAR_SECONDS),
    Fault("broker-lazy", "broker killed, `appendfsync everysec`", kill_broker_everysec, _BAR_SECONDS, may_lose=True),
    Fault("frozen", "broker frozen (`CLIENT PAUSE`)", freeze_broker, _BAR_SECONDS),
    Fault("slow", "connections to the broker slow", slow_broker, _BAR_SECONDS),
    Fault("cut", "connections to the broker cut", cut_connections, _BAR_SECONDS),
    Fault("half-open", "connections to the broker half open", half_open_connections, _BAR_SECONDS),
    Fault("full", "broker full (`maxmemory`)", fill_broker, _BAR_SECONDS),
]
