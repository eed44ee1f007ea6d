"""Runs one fault during bulk predictions, and judges these and the steady traffic."""

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.bulk.client import SUCCEEDED, BulkClient
from tests.chaos.bulk.experiment import BulkExperiment
from tests.chaos.bulk.faults import BulkFault
from tests.chaos.bulk.rows import BulkReference, Size
from tests.chaos.bulk.storage import Storage
from tests.chaos.bulk.verdict import BulkVerdict
from tests.chaos.experiment import running_experiment
from tests.chaos.judge import Injection, judge, load_reference, recoveries
from tests.chaos.observer import Observer
from tests.chaos.results import FaultResult
from tests.chaos.run import backlog
from tests.chaos.site import Site
from tests.patience import patience as usual_patience


def run_bulk_fault(
    site: Site,
    storage: Storage,
    fault: BulkFault,
    reference: BulkReference,
    *,
    injections: int,
    rate: float,
    patience: float,
    size: Size,
) -> FaultResult:
    """Inject a fault into several bulk predictions, one after the other.

    Args:
        site: a ready site with bulk workers, and ready again at the end unless it did not recover.
        storage: its object store.
        fault: the fault.
        reference: computes the pipeline's own results.
        injections: the number of injections.
        rate: single submissions per second.
        patience: seconds to wait for the last results.
        size: of each bulk prediction.
    """
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="sepal-chaos-"))
    observer, verdict = Observer(site.redis_port), BulkVerdict()
    try:
        with running_experiment(site, folder, rate, patience) as traffic:
            bulk = BulkExperiment(traffic, storage, size, usual_patience())
            injected = []
            for number in range(injections):
                traffic.injection = number
                injected.append(inject_into_bulk(bulk, fault, reference, verdict))
        entries = list(traffic.ledger.entries.values())
        verdict.add_left(bulk.check_at_end())
    finally:
        observer.stop()
        shutil.rmtree(folder)
    return FaultResult(
        fault=fault.name,
        title=fault.title,
        injections=len(injected),
        verdict=judge(entries, load_reference(site.model_dir)),
        committed_twice=observer.n_committed_twice,
        recoveries=recoveries(entries, injected),
        bar_seconds=None,
        may_lose=False,
        backlog=backlog(site.redis),
        seconds=round(time.monotonic() - began, 1),
        bulk=verdict,
        bulk_bar_seconds=fault.recovery_seconds,
    )


def inject_into_bulk(
    bulk: BulkExperiment, fault: BulkFault, reference: BulkReference, verdict: BulkVerdict
) -> Injection:
    """Inject a fault into a bulk prediction, and judge the prediction once it has ended."""
    injection = fault.inject(bulk)
    client = bulk.run.client
    client.join()
    verdict.uploads += 1
    verdict.refusals = dict(Counter(verdict.refusals) + client.refusals)
    verdict.retried_downloads += client.retried_downloads
    if not client.is_accepted:
        verdict.never_accepted += 1
    elif client.state is None or client.result is None:
        verdict.lost += 1
        verdict.states = dict(Counter(verdict.states) + Counter([client.state or "not final"]))
    elif not reference.is_right(bulk.run.rows, client.result):
        verdict.wrong += 1
    else:
        verdict.succeeded += 1
    verdict.recoveries.append(_recovery(client, injection))
    verdict.unneeded += bulk.unneeded()
    verdict.add_left(bulk.check())
    bulk.traffic.wait(bulk.site.is_ready, usual_patience())
    bulk.traffic.pause(0.2, 0.6)
    return injection


def _recovery(client: BulkClient, injection: Injection) -> float | None:
    if client.final_at is None or client.state != SUCCEEDED:
        return None
    return max(0.0, client.final_at - injection.cleared_at)
