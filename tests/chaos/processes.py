"""Faults of processes: killed or stopped, at random and in the worst instants."""

import os
import signal
import time
from typing import Final

from tests.chaos.fault import Fault
from tests.chaos.judge import Injection
from tests.chaos.scene import Scene
from tests.chaos.site import Slot
from tests.chaos.traffic import Trouble
from tests.stack import wait_for

_POOL_SECONDS: Final = 1.0
_WORKER_SECONDS: Final = 10.0
_INSIDE_MS: Final = 300  # how long a row that tells stays in the pipeline, so that its process is met there
_STOPPED_SECONDS: Final = 9.0  # a worker's announcement is believed for 5, and then others take over


def kill_pool_process(scene: Scene) -> Injection:
    """Kill a pool process at a random moment."""
    scene.pause(0.2, 1)
    pid = scene.dice.choice(scene.dice.choice(scene.site.workers).children())
    injection = scene.now()
    os.kill(pid, signal.SIGKILL)
    return injection


def kill_claiming_process(scene: Scene) -> Injection:
    """Kill a pool process that has claimed a batch and not committed it."""
    pid = scene.told(scene.send(Trouble.TELL, _INSIDE_MS))
    injection = scene.now()
    os.kill(pid, signal.SIGKILL)
    return injection


def kill_worker(scene: Scene) -> Injection:
    """Kill a worker with its children: one that has claimed a batch, and one at random, in turns."""
    if scene.injection % 2:
        worker = _worker_of(scene, scene.told(scene.send(Trouble.TELL, _INSIDE_MS)))
    else:
        scene.pause(0.2, 1)
        worker = scene.dice.choice(scene.site.workers)
    injection = scene.now()
    worker.signal(signal.SIGKILL)
    return injection


def kill_all_workers(scene: Scene) -> Injection:
    """Kill every worker there is, while one has claimed a batch: nobody is left to take over."""
    scene.told(scene.send(Trouble.TELL, _INSIDE_MS))
    injection = scene.now()
    for worker in scene.site.workers:
        worker.signal(signal.SIGKILL)
    return injection


def kill_worker_at_the_pop(scene: Scene) -> Injection:
    """Have a worker kill itself between kombu's pop of a message and its noting that."""
    scene.site.trigger.touch()
    wait_for(lambda: not scene.site.trigger.exists(), "a worker that pops a message")
    return scene.now()


def stop_worker(scene: Scene) -> Injection:
    """Stop a worker that has claimed a batch for longer than its lease, and let it go on."""
    worker = _worker_of(scene, scene.told(scene.send(Trouble.TELL, _INSIDE_MS)))
    injection = scene.now()
    worker.signal(signal.SIGSTOP)
    time.sleep(_STOPPED_SECONDS)
    worker.signal(signal.SIGCONT)
    return injection


def kill_gateway(scene: Scene) -> Injection:
    """Kill a gateway: while clients wait for it, and at random with requests on their way, in turns."""
    number = scene.injection // 2 % len(scene.site.gateways)
    if scene.injection % 2:
        scene.told(scene.send(Trouble.TELL, _INSIDE_MS, gateway=number))
    else:
        scene.pause(0.2, 1)
    injection = scene.now()
    scene.site.gateways[number].signal(signal.SIGKILL)
    return injection


def _worker_of(scene: Scene, pid: int) -> Slot:
    return next(worker for worker in scene.site.workers if pid in worker.children())


PROCESS_FAULTS: Final = [
    Fault("pool", "pool process killed, at random", kill_pool_process, _POOL_SECONDS),
    Fault("claim", "pool process killed between claim and commit", kill_claiming_process, _POOL_SECONDS),
    Fault("worker", "one worker of two killed, parent and children", kill_worker, _WORKER_SECONDS),
    Fault("workers", "all workers killed", kill_all_workers, _WORKER_SECONDS),
    Fault("pop", "worker killed between kombu's pop and its bookkeeping", kill_worker_at_the_pop, _WORKER_SECONDS),
    Fault("stopped", "worker stopped for longer than its lease", stop_worker, _WORKER_SECONDS),
    Fault("gateway", "gateway killed, with waiters and on the wire", kill_gateway),
]
