"""Runs one fault: sends traffic, injects the fault repeatedly, and judges the ledger."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.chaos.experiment import Experiment, running_experiment
from tests.chaos.fault import Fault
from tests.chaos.judge import Injection, Reference, judge, recoveries
from tests.chaos.observer import Observer
from tests.chaos.results import FaultResult
from tests.chaos.site import Site
from tests.patience import patience as usual_patience

_MAX_RECOVERY_SECONDS: Final = 20.0  # more than every bar; the rest is waited for at the end


def run_fault(
    site: Site, fault: Fault, reference: Reference, *, injections: int, rate: float, patience: float
) -> FaultResult:
    """Inject a fault repeatedly into a site on which everything is ready.

    Args:
        site: a ready site, and ready again at the end unless it did not recover.
        fault: the fault.
        reference: computes the pipeline's own outputs.
        injections: the number of injections.
        rate: submissions per second.
        patience: seconds to wait for the last results.
    """
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="sepal-chaos-"))
    observer = Observer(site.redis_port)
    try:
        with running_experiment(site, folder, rate, patience) as experiment:
            injected = [_inject(experiment, fault, number) for number in range(injections)]
        entries = list(experiment.ledger.entries.values())
    finally:
        observer.stop()
        shutil.rmtree(folder)
    return FaultResult(
        fault=fault.name,
        title=fault.title,
        injections=len(injected),
        verdict=judge(entries, reference),
        committed_twice=observer.n_committed_twice,
        recoveries=recoveries(entries, injected),
        bar_seconds=fault.recovery_seconds,
        may_lose=fault.may_lose,
        backlog=backlog(site.redis),
        seconds=round(time.monotonic() - began, 1),
    )


def _inject(experiment: Experiment, fault: Fault, number: int) -> Injection:
    experiment.injection = number
    injection = fault.inject(experiment)
    experiment.wait(lambda: experiment.has_recovered(injection), _MAX_RECOVERY_SECONDS)
    experiment.wait(experiment.site.is_ready, usual_patience())
    experiment.pause(0.2, 0.6)
    return injection


def backlog(client: Any) -> int:
    """Return the number of rows that the store counts as accepted and not final."""
    counters: dict[bytes, bytes] = client.hgetall("sepal:backlog")
    signs = {True: 1, False: -1}
    return sum(signs[name.startswith(b"accepted")] * int(count) for name, count in counters.items())
