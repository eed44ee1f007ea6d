"""The watchdog repairs differences between the store's record and the consumer's state."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from shared.ids import BatchId
from shared.names import LostReason
from shared.store.workers import AnnounceReply, Lease
from worker.liveness.watchdog import ConsumerState, Watchdog

BATCH = BatchId("batch")


class Worker:
    """A watchdog with a record of its actions."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.requeued: list[BatchId] = []
        self.n_stops = 0
        self._watchdog = Watchdog(self._requeue, self._stop)

    def _requeue(self, batch_id: BatchId, reason: LostReason, detail: str) -> None:
        assert reason in (LostReason.PROCESS, LostReason.ERROR)
        assert detail
        self.requeued.append(batch_id)

    def _stop(self) -> None:
        self.n_stops += 1

    def check(
        self,
        *,
        waiting: int = 0,
        leased: bool = False,
        wanted: bool = True,
        taken: bool = False,
        running: bool = False,
        is_loaded: bool = True,
        living: bool = True,
        started: int = 0,
    ) -> None:
        self._watchdog.check(
            AnnounceReply(waiting, [Lease(BATCH, self.pid, wanted)] if leased else []),
            ConsumerState(
                pids=[self.pid] if living else [],
                n_loaded=int(is_loaded),
                taken=[BATCH] if taken else [],
                running=[BATCH] if running else [],
                n_started=started,
            ),
        )


@pytest.fixture
def worker() -> Iterator[Worker]:
    with subprocess.Popen(["/bin/sleep", "infinity"]) as process:
        yield Worker(process.pid)
        process.kill()


def is_alive(worker: Worker) -> bool:
    pid, _ = os.waitpid(worker.pid, os.WNOHANG)
    return pid == 0


def test_batch_that_no_process_runs_is_requeued_at_the_second_check(worker: Worker) -> None:
    worker.check(leased=True)
    assert worker.requeued == []
    worker.check(leased=True)
    assert worker.requeued == [BATCH]


def test_batch_of_a_dead_process_is_requeued_at_once(worker: Worker) -> None:
    worker.check(leased=True, running=True, living=False)
    assert worker.requeued == [BATCH]


def test_attempt_that_has_just_started_is_not_requeued(worker: Worker) -> None:
    worker.check(leased=True)
    worker.check(leased=True, running=True)
    worker.check(leased=True)
    assert worker.requeued == []


def test_process_is_killed_only_if_its_batch_stays_canceled(worker: Worker) -> None:
    for wanted in (True, False, True, False):
        worker.check(leased=True, running=True, wanted=wanted)
    assert is_alive(worker)
    worker.check(leased=True, running=True, wanted=False)
    assert os.waitpid(worker.pid, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize(
    ("waiting", "taken", "is_loaded", "n_stops"),
    [
        pytest.param(1, False, True, 1, id="messages wait"),
        pytest.param(0, False, True, 0, id="no message waits"),
        pytest.param(1, True, True, 0, id="a batch runs"),
        pytest.param(1, False, False, 0, id="no pool process has loaded"),
    ],
)
def test_worker_is_stopped_only_if_it_takes_none_of_the_waiting_messages(
    worker: Worker, waiting: int, taken: bool, is_loaded: bool, n_stops: int
) -> None:
    for _ in range(10):
        worker.check(waiting=waiting, taken=taken, running=taken, is_loaded=is_loaded)
    assert worker.n_stops == n_stops


def test_worker_that_starts_none_of_its_taken_batches_is_stopped(worker: Worker) -> None:
    for running in (False, False, True, False, False):
        worker.check(taken=True, running=running)
    worker.check(taken=True, is_loaded=False)
    assert worker.n_stops == 0
    for _ in range(3):
        worker.check(taken=True)
    assert worker.n_stops == 1


def test_worker_that_starts_a_batch_between_any_two_checks_is_not_stopped(worker: Worker) -> None:
    for number in range(1, 40):
        worker.check(taken=number % 2 == 0, waiting=1, started=number)
    assert worker.n_stops == 0


def test_worker_that_takes_a_message_now_and_then_is_not_stopped(worker: Worker) -> None:
    for number in range(30):
        worker.check(waiting=1, taken=number % 9 == 0)
    assert worker.n_stops == 0
