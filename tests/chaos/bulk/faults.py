"""Faults during a bulk prediction: of processes, of the object store, and of the disk."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from tests.chaos.bulk.experiment import BulkExperiment
from tests.chaos.bulk.leftovers import table_processes
from tests.chaos.bulk.storage import Kind
from tests.chaos.judge import Injection
from tests.stack import wait_for

_STOPPED_SECONDS: Final = 9.0  # as in tests.chaos.processes
_OUTAGE_SECONDS: Final = 20.0  # longer than an attempt waits for the object store
_ALMOST_FULL_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class BulkFault:
    """A fault, as a line of the table."""

    name: str
    title: str
    inject: Callable[[BulkExperiment], Injection]
    """Starts a bulk prediction, injects the fault, and returns when it ends; the site restarts killed processes."""
    storage: Kind = Kind.FOLDER
    recovery_seconds: float = 60.0
    """The bar: the greatest time until the prediction is final."""


def kill_pool_process(bulk: BulkExperiment) -> Injection:
    """Kill a pool process at a random moment of the scoring."""
    pid = bulk.upload().wait_for_random_moment()
    injection = bulk.traffic.start()
    os.kill(pid, signal.SIGKILL)
    return injection


def kill_writing_processes(bulk: BulkExperiment) -> Injection:
    """Kill all pool processes of the bulk queue while a result is written or not yet committed."""
    processes = [psutil.Process(pid) for worker in bulk.site.bulk_workers for pid in worker.children()]
    bulk.upload().wait_for_result(bulk.store)
    injection = bulk.traffic.start()
    _kill(processes)
    return injection


def kill_worker(bulk: BulkExperiment) -> Injection:
    """Kill a bulk worker and its children: alternately one that scores, and one at random."""
    run = bulk.upload()
    if bulk.is_odd:
        run.wait_for_random_moment()
        worker = bulk.traffic.rng.choice(bulk.site.bulk_workers)
    else:
        worker = bulk.worker_of(run.wait_for_scoring())
    injection = bulk.traffic.start()
    worker.signal(signal.SIGKILL)
    return injection


def stop_worker(bulk: BulkExperiment) -> Injection:
    """Stop a bulk worker that scores a slice until its lease has ended, and then resume it."""
    worker = bulk.worker_of(bulk.upload().wait_for_scoring())
    injection = bulk.traffic.start()
    worker.signal(signal.SIGSTOP)
    time.sleep(_STOPPED_SECONDS)
    worker.signal(signal.SIGCONT)
    return injection


def stop_and_kill_workers(bulk: BulkExperiment) -> Injection:
    """Stop a bulk worker that scores a slice until its lease has ended, and kill the other one meanwhile."""
    worker = bulk.worker_of(bulk.upload().wait_for_scoring())
    injection = bulk.traffic.start()
    worker.signal(signal.SIGSTOP)
    for other in bulk.site.bulk_workers:
        if other is not worker:
            other.signal(signal.SIGKILL)
    time.sleep(_STOPPED_SECONDS)
    worker.signal(signal.SIGCONT)
    return injection


def kill_table_process(bulk: BulkExperiment) -> Injection:
    """Kill the process that reads an upload: alternately while the body is sent, and while its rows are stored."""
    run = bulk.upload()
    if bulk.is_odd:
        run.wait_for_reading()
    else:
        run.wait_for_upload()
    processes = run.wait_for_job()
    injection = bulk.traffic.start()
    _kill(processes)
    return injection


def kill_download(bulk: BulkExperiment) -> Injection:
    """Kill the process that writes a result to its client."""
    processes = bulk.upload().wait_for_download()
    injection = bulk.traffic.start()
    _kill(processes)
    return injection


def kill_table_server(bulk: BulkExperiment) -> Injection:
    """Kill the table server and its processes during an upload."""
    run = bulk.upload()
    run.wait_for_upload()
    injection = bulk.traffic.start()
    _kill(table_processes(run.gateway.pid))
    return injection


def kill_gateway(bulk: BulkExperiment) -> Injection:
    """Kill a gateway: alternately right after its 202, and during an upload."""
    run = bulk.upload()
    if bulk.is_odd:
        run.wait_for_upload()
    else:
        run.wait_for_answer()
    injection = bulk.traffic.start()
    run.gateway.signal(signal.SIGKILL)
    return injection


def _reach_upload_or_scoring(bulk: BulkExperiment) -> None:
    """Begin an upload, and wait alternately for a moment during it and for a random moment of the scoring."""
    run = bulk.upload()
    if bulk.is_odd:
        run.wait_for_upload()
    else:
        run.wait_for_random_moment()


def kill_broker(bulk: BulkExperiment) -> Injection:
    """Kill the broker: alternately at a random moment of the scoring, and during an upload."""
    _reach_upload_or_scoring(bulk)
    injection = bulk.traffic.start()
    bulk.site.broker.signal(signal.SIGKILL)
    return injection


def freeze_s3(bulk: BulkExperiment) -> Injection:
    """Stop the S3 server and resume it: alternately at a random moment of the scoring, and during an upload."""
    _reach_upload_or_scoring(bulk)
    injection = bulk.traffic.start()
    bulk.storage.signal(signal.SIGSTOP)
    time.sleep(_OUTAGE_SECONDS)
    bulk.storage.signal(signal.SIGCONT)
    return bulk.traffic.end(injection)


def fill_disk_during_upload(bulk: BulkExperiment) -> Injection:
    """Fill the disk until an upload is refused for lack of space."""
    run = bulk.upload(may_retry=False)
    wait_for(lambda: table_processes(run.gateway.pid), "a table server")
    injection = bulk.traffic.start()
    processes = bulk.storing_processes()
    bulk.storage.disk.fill(_ALMOST_FULL_BYTES, processes)
    run.wait_for_answer()
    bulk.check_nothing_left()
    bulk.storage.disk.free(processes)
    run.client.retry()
    return bulk.traffic.end(injection)


def fill_disk_during_scoring(bulk: BulkExperiment) -> Injection:
    """Fill the disk at a random moment, until attempts at slices have been given back."""
    bulk.upload().wait_for_random_moment()
    injection = bulk.traffic.start()
    processes = bulk.storing_processes()
    bulk.storage.disk.fill(0, processes)
    time.sleep(_OUTAGE_SECONDS)
    bulk.storage.disk.free(processes)
    return bulk.traffic.end(injection)


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


BULK_FAULTS: Final[dict[str, BulkFault]] = {
    fault.name: fault
    for fault in [
        BulkFault("bulk-pool", "bulk: pool process killed", kill_pool_process),
        BulkFault("bulk-commit", "bulk: pool processes killed while a result is written", kill_writing_processes),
        BulkFault("bulk-worker", "bulk: one worker of two killed, parent and children", kill_worker),
        BulkFault("bulk-stopped", "bulk: worker stopped for longer than its lease", stop_worker),
        BulkFault("bulk-workers", "bulk: one worker of two stopped, the other killed", stop_and_kill_workers),
        BulkFault("bulk-table", "bulk: process that reads the upload killed", kill_table_process),
        BulkFault("bulk-tables", "bulk: table server and its processes killed", kill_table_server),
        BulkFault("bulk-download", "bulk: process that writes the download killed", kill_download),
        BulkFault("bulk-gateway", "bulk: gateway killed, after its 202 and during the upload", kill_gateway),
        BulkFault("bulk-broker", "bulk: broker killed, during the scoring and the upload", kill_broker),
        BulkFault("bulk-s3", "bulk: S3 server frozen for 20 s", freeze_s3, Kind.S3),
        BulkFault("bulk-full-upload", "bulk: disk full during the upload", fill_disk_during_upload, Kind.DISK),
        BulkFault(
            "bulk-full-scoring", "bulk: disk full for 20 s during the scoring", fill_disk_during_scoring, Kind.DISK
        ),
    ]
}
