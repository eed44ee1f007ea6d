"""The context of a fault during a bulk prediction: its client, its rows, and the site."""

import time
from collections.abc import Callable
from typing import Final

import psutil

from shared.bulk import objects_prefix
from shared.ids import PredictionId
from shared.objects import ObjectStore
from tests.chaos.bulk import leftovers
from tests.chaos.bulk.client import BulkClient
from tests.chaos.bulk.rows import Rows, Size
from tests.chaos.bulk.storage import Storage
from tests.chaos.experiment import Experiment
from tests.chaos.site import SupervisedProcess
from tests.patience import patience
from tests.stack import wait_for

_AFTER_MARK_SECONDS: Final = 0.3  # twice as long as a mark: the slice may be committed, and the next one read
_READING_SECONDS: Final = 0.1
_EMPTY_SECONDS: Final = 90.0
"""Until nothing is left: the sweeper repeats a failed deletion after a minute, and the table server of a killed gateway
may still be starting."""


class BulkRun:
    """One bulk prediction, from its upload to its result."""

    def __init__(self, traffic: Experiment, size: Size, seconds: float, *, may_retry: bool) -> None:
        site = traffic.site
        self.rows = Rows(traffic.injection, size)
        self._rng = traffic.rng
        self._gateways = site.gateways
        self._pid_files = self.rows.pid_files(site.pid_dir)
        first = traffic.injection // 2 % len(site.ports)
        self.gateway = site.gateways[first]
        """The gateway that receives the upload."""
        ports = [*site.ports[first:], *site.ports[:first]]
        self.client = BulkClient(ports, self.rows.parquet(), seconds, size.upload_seconds)
        if may_retry:
            self.client.retry()

    def wait_for_upload(self) -> None:
        """Wait until a random share of the body is sent."""
        share = self._rng.uniform(0.05, 0.9)
        wait_for(lambda: self.client.sent >= share, "a part of an upload")

    def wait_for_reading(self) -> None:
        """Wait until the body is sent, and then for a random time while its rows are read and stored."""
        wait_for(lambda: self.client.sent == 1, "the upload")
        time.sleep(self._rng.uniform(0, _READING_SECONDS))

    def wait_for_job(self) -> list[psutil.Process]:
        """Return the process that reads the upload once it exists; none if the upload has ended before."""

        def reading() -> list[psutil.Process]:
            return leftovers.job_processes(self.gateway.pid)

        wait_for(lambda: self.client.was_answered.is_set() or reading(), "the process of an upload")
        return reading()

    def wait_for_answer(self) -> None:
        """Wait until the first upload is accepted or refused."""
        wait_for(self.client.was_answered.is_set, "the answer to an upload")

    def wait_for_scoring(self) -> int:
        """Wait until a random row is scored; return the pid of its process."""
        path = self._rng.choice(self._pid_files)
        wait_for(lambda: path.exists() or self.client.has_ended, f"the pid in {path.name}")
        return int(path.read_text())

    def wait_for_random_moment(self) -> int:
        """Wait for a random moment of the scoring; return the pid of a process that has just scored."""
        pid = self.wait_for_scoring()
        time.sleep(self._rng.uniform(0, _AFTER_MARK_SECONDS))
        return pid

    def wait_for_result(self, store: ObjectStore) -> None:
        """Wait until the writing of another result object begins."""
        self.wait_for_scoring()
        prefix = self._prefix()
        before = {stored.key for stored in store.list(prefix)}
        _spin_until(lambda: self.client.has_ended or any(each.key not in before for each in store.list(prefix)))

    def wait_for_download(self) -> list[psutil.Process]:
        """Wait until a process writes the result to the client; return it, unless it has ended."""

        def writing() -> list[psutil.Process]:
            if self.client.state is None:
                return []
            return [each for gateway in self._gateways for each in leftovers.job_processes(gateway.pid)]

        _spin_until(lambda: self.client.has_ended or bool(writing()))
        return writing()

    def _prefix(self) -> str:
        assert self.client.location is not None, "rows are being scored"
        prediction_id = self.client.location.rpartition("/")[2]
        return objects_prefix(PredictionId.parse(prediction_id).batch_id)


def _spin_until(condition: Callable[[], bool]) -> None:
    """Poll without pauses, because the condition is true only briefly."""
    deadline = time.monotonic() + patience()
    while not condition() and time.monotonic() < deadline:
        pass


class BulkExperiment:
    """All injections of one fault, during the steady traffic of single predictions."""

    def __init__(self, traffic: Experiment, storage: Storage, size: Size, seconds: float) -> None:
        self.traffic = traffic
        self.site = traffic.site
        self.storage = storage
        self.run: BulkRun
        """Of the latest injection."""
        self._found: list[str] = []
        self._other_pids = {process.pid for process in self._unowned_table_processes()}
        """Table processes of gateways of other tests."""
        self.store: ObjectStore = storage.open()
        self._size = size
        self._seconds = seconds

    @property
    def is_odd(self) -> bool:
        """Whether to inject the second of two variants."""
        return self.traffic.injection % 2 == 1

    def upload(self, *, may_retry: bool = True) -> BulkRun:
        """Begin a bulk prediction."""
        self.run = BulkRun(self.traffic, self._size, self._seconds, may_retry=may_retry)
        return self.run

    def worker_of(self, pid: int) -> SupervisedProcess:
        """Return the bulk worker of a pool process, or any bulk worker if the process has ended."""
        workers = self.site.bulk_workers
        return next((worker for worker in workers if pid in worker.children()), workers[0])

    def storing_processes(self) -> list[psutil.Process]:
        """Return the processes that write to the object store, and the table servers, which start some of them."""
        pids = [pid for worker in self.site.bulk_workers for pid in worker.children()]
        tables = [process for gateway in self.site.gateways for process in leftovers.table_processes(gateway.pid)]
        return [*map(psutil.Process, pids), *tables]

    def unneeded(self) -> int:
        """Count the unneeded objects of live predictions, which killed attempts have left."""
        return leftovers.unneeded(self.site.redis, self.store)

    def check_nothing_left(self) -> None:
        """Record what a refused upload has left, during the fault."""
        self._found += self._until_empty(lambda: leftovers.left(self.site.redis, self.store, are_batches_open=True))

    def check(self) -> list[str]:
        """Compare the objects with the live predictions, end their retention, and list what is left."""
        server = self.site.redis
        leftovers.end_abandoned_uploads(server)
        misplaced = self._until_empty(lambda: leftovers.misplaced(server, self.store))
        leftovers.end_retention(server)
        left = self._until_empty(lambda: leftovers.left(server, self.store, are_batches_open=True))
        found, self._found = self._found, []
        return [*found, *misplaced, *left]

    def check_at_end(self) -> list[str]:
        """List what is left when no prediction is open."""

        def left() -> list[str]:
            found = leftovers.left(self.site.redis, self.store, are_batches_open=False)
            orphans = [each for each in self._unowned_table_processes() if each.pid not in self._other_pids]
            return [*found, *(f"process: {leftovers.describe(orphan)}" for orphan in orphans)]

        return self._until_empty(left)

    def _unowned_table_processes(self) -> list[psutil.Process]:
        return leftovers.unowned_table_processes([gateway.pid for gateway in self.site.gateways])

    def _until_empty(self, find: Callable[[], list[str]]) -> list[str]:
        """Wait until `find` returns nothing; return what it finds at the time-out."""
        found: list[str] = []

        def is_empty() -> bool:
            found[:] = find()
            return not found

        self.traffic.wait(is_empty, _EMPTY_SECONDS)
        return found
