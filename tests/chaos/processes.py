"""Faults of processes: killed or stopped, at random moments and at the most harmful ones."""

import os
import signal
import time
from typing import Final

from tests.chaos.experiment import Experiment
from tests.chaos.fault import Fault
from tests.chaos.judge import Injection
from tests.chaos.site import SupervisedProcess
from tests.chaos.traffic import Trouble
from tests.stack import wait_for

_POOL_BAR_SECONDS: Final = 1.0
_WORKER_BAR_SECONDS: Final = 10.0
_IN_PIPELINE_MS: Final = 300  # how long a row that reports its process stays in the pipeline
_STOPPED_SECONDS: Final = 9.0  # a worker's announcement is valid for 5 s; then the reconciler requeues its batches


def kill_pool_process(experiment: Experiment) -> Injection:
    """Kill a pool process at a random moment."""
    experiment.pause(0.2, 1)
    pid = experiment.rng.choice(experiment.rng.choice(experiment.site.workers).children())
    injection = experiment.start()
    os.kill(pid, signal.SIGKILL)
    return injection


def kill_claiming_process(experiment: Experiment) -> Injection:
    """Kill a pool process that has claimed a batch and not committed it."""
    pid = experiment.pid_of(experiment.send(Trouble.REPORT_PID, _IN_PIPELINE_MS))
    injection = experiment.start()
    os.kill(pid, signal.SIGKILL)
    return injection


def kill_worker(experiment: Experiment) -> Injection:
    """Kill a worker and its children: alternately one that has claimed a batch, and one at random."""
    if experiment.injection % 2:
        worker = _worker_of(experiment, experiment.pid_of(experiment.send(Trouble.REPORT_PID, _IN_PIPELINE_MS)))
    else:
        experiment.pause(0.2, 1)
        worker = experiment.rng.choice(experiment.site.workers)
    injection = experiment.start()
    worker.signal(signal.SIGKILL)
    return injection


def kill_all_workers(experiment: Experiment) -> Injection:
    """Kill all workers while one has claimed a batch: no worker is left to take it over."""
    experiment.pid_of(experiment.send(Trouble.REPORT_PID, _IN_PIPELINE_MS))
    injection = experiment.start()
    for worker in experiment.site.workers:
        worker.signal(signal.SIGKILL)
    return injection


def kill_worker_after_pop(experiment: Experiment) -> Injection:
    """Make a worker kill itself between kombu's pop of a message and the record of its delivery."""
    experiment.site.trigger.touch()
    wait_for(lambda: not experiment.site.trigger.exists(), "a worker that pops a message")
    return experiment.start()


def stop_worker(experiment: Experiment) -> Injection:
    """Stop a worker that has claimed a batch until its lease has ended, and then resume it."""
    worker = _worker_of(experiment, experiment.pid_of(experiment.send(Trouble.REPORT_PID, _IN_PIPELINE_MS)))
    injection = experiment.start()
    worker.signal(signal.SIGSTOP)
    time.sleep(_STOPPED_SECONDS)
    worker.signal(signal.SIGCONT)
    return injection


def kill_gateway(experiment: Experiment) -> Injection:
    """Kill a gateway: alternately while clients wait for it, and at random during requests."""
    number = experiment.injection // 2 % len(experiment.site.gateways)
    if experiment.injection % 2:
        experiment.pid_of(experiment.send(Trouble.REPORT_PID, _IN_PIPELINE_MS, gateway=number))
    else:
        experiment.pause(0.2, 1)
    injection = experiment.start()
    experiment.site.gateways[number].signal(signal.SIGKILL)
    return injection


def stop_gateway(experiment: Experiment) -> Injection:
    """Stop a gateway while clients wait for it, and resume it after their predictions have been answered elsewhere."""
    number = experiment.injection % len(experiment.site.gateways)
    experiment.pid_of(experiment.send(Trouble.REPORT_PID, _IN_PIPELINE_MS, gateway=number))
    gateway, injection = experiment.site.gateways[number], experiment.start()
    gateway.signal(signal.SIGSTOP)
    time.sleep(_STOPPED_SECONDS)
    gateway.signal(signal.SIGCONT)
    return experiment.end(injection)


def _worker_of(experiment: Experiment, pid: int) -> SupervisedProcess:
    return next(worker for worker in experiment.site.workers if pid in worker.children())


PROCESS_FAULTS: Final = [
    Fault("pool", "pool process killed at a random time", kill_pool_process, _POOL_BAR_SECONDS),
    Fault("claim", "pool process killed between claim and commit", kill_claiming_process, _POOL_BAR_SECONDS),
    Fault("worker", "one worker of two killed, parent and children", kill_worker, _WORKER_BAR_SECONDS),
    Fault("workers", "all workers killed", kill_all_workers, _WORKER_BAR_SECONDS),
    Fault("pop", "worker killed after kombu has popped a message", kill_worker_after_pop, _WORKER_BAR_SECONDS),
    Fault("stopped", "worker stopped for longer than its lease", stop_worker, _WORKER_BAR_SECONDS),
    Fault("gateway", "gateway killed, with waiting and arriving requests", kill_gateway),
    Fault("gateway-stopped", "gateway stopped for 9 s, with waiting and arriving requests", stop_gateway),
]
