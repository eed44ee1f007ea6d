"""What the watchdog does about differences between the store's record and the consumer's state."""

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
    """A watchdog, and what it did."""

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
        can_work: bool = True,
        living: bool = True,
        started: int = 0,
    ) -> None:
        self._watchdog.check(
            AnnounceReply(waiting, [Lease(BATCH, self.pid, wanted)] if leased else []),
            ConsumerState(
                pids=[self.pid] if living else [],
                n_loaded=int(can_work),
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


def test_lease_without_an_attempt_is_requeued_at_the_second_check(worker: Worker) -> None:
    worker.check(leased=True)
    assert worker.requeued == []
    worker.check(leased=True)
    assert worker.requeued == [BATCH]


def test_lease_of_a_lost_process_is_requeued_at_once(worker: Worker) -> None:
    worker.check(leased=True, running=True, living=False)
    assert worker.requeued == [BATCH]


def test_attempt_that_has_only_just_started_is_left_alone(worker: Worker) -> None:
    worker.check(leased=True)
    worker.check(leased=True, running=True)
    worker.check(leased=True)
    assert worker.requeued == []


def test_only_a_batch_that_stays_unwanted_costs_its_process(worker: Worker) -> None:
    for wanted in (True, False, True, False):
        worker.check(leased=True, running=True, wanted=wanted)
    assert is_alive(worker)
    worker.check(leased=True, running=True, wanted=False)
    assert os.waitpid(worker.pid, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize(
    ("waiting", "taken", "can_work", "n_stops"),
    [
        pytest.param(1, False, True, 1, id="it could work, and does not"),
        pytest.param(0, False, True, 0, id="there is nothing to do"),
        pytest.param(1, True, True, 0, id="it is at work"),
        pytest.param(1, False, False, 0, id="it is still loading"),
    ],
)
def test_worker_that_consumes_nothing_is_stopped(
    worker: Worker, waiting: int, taken: bool, can_work: bool, n_stops: int
) -> None:
    for _ in range(10):
        worker.check(waiting=waiting, taken=taken, running=taken, can_work=can_work)
    assert worker.n_stops == n_stops


def test_worker_that_starts_on_nothing_it_has_taken_is_stopped(worker: Worker) -> None:
    for running in (False, False, True, False, False):
        worker.check(taken=True, running=running)
    worker.check(taken=True, can_work=False)
    assert worker.n_stops == 0
    for _ in range(3):
        worker.check(taken=True)
    assert worker.n_stops == 1


def test_worker_that_starts_on_something_between_any_two_looks_is_left_alone(worker: Worker) -> None:
    for number in range(1, 40):
        worker.check(taken=number % 2 == 0, waiting=1, started=number)
    assert worker.n_stops == 0


def test_message_taken_now_and_then_is_consumption_enough(worker: Worker) -> None:
    for number in range(30):
        worker.check(waiting=1, taken=number % 9 == 0)
    assert worker.n_stops == 0
