"""Reports of pool processes to their parent."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from shared.card import ModelRef
from shared.ids import new_batch_id
from shared.names import FailureCode, LostReason, Queue
from shared.rows import EncodedRows
from shared.store.attempts import Claim
from shared.store.records import Answer, Failure, Member, Outcome
from worker.pool.pipe import PoolPipe
from worker.pool.process import make_attempt_report
from worker.telemetry.metrics import AttemptReport, SliceReport

ANSWER = Answer({"prediction": b"1"})
REJECTED = Failure(FailureCode.ROWS_REJECTED, "seven")
EXPIRED = Failure(FailureCode.EXPIRED, "late")
IN_TIME, LATE = 2_000_000, 500_000  # deadlines, in microseconds
FINISHED = 1_000_000  # time of the commit, in microseconds


@pytest.fixture
def pipe() -> Iterator[PoolPipe]:
    with closing(PoolPipe()) as pipe:
        yield pipe


def claim(*deadlines: int) -> Claim:
    members = [Member(bytes(13), 2, deadline_us=deadline) for deadline in deadlines]
    model = ModelRef(name="", version="", digest="")
    return Claim(
        new_batch_id(), 1, 100, 50, EncodedRows(b"", 2 * len(deadlines)), members, model, Queue.INTERACTIVE, {}
    )


@pytest.mark.parametrize(
    ("deadlines", "ends", "n_open", "expected"),
    [
        ((0, 0), (ANSWER, REJECTED), 0, (1, 1, 0)),
        ((0, LATE), (ANSWER, REJECTED), 0, (1, 0, 1)),
        ((IN_TIME, LATE), (ANSWER, ANSWER), 0, (1, 0, 1)),
        ((0, IN_TIME), (ANSWER, EXPIRED), 0, (1, 0, 1)),
        ((0, 0, 0), (ANSWER, ANSWER, ANSWER), 2, (1, 0, 0)),
        ((0,), (REJECTED,), 1, (0, 0, 0)),
        ((LATE,), (ANSWER,), 1, (0, 0, 0)),
    ],
)
def test_each_prediction_is_counted_at_most_once(
    deadlines: tuple[int, ...], ends: tuple[Answer | Failure, ...], n_open: int, expected: tuple[int, int, int]
) -> None:
    report = make_attempt_report(claim(*deadlines), Outcome(50, 7, list(ends)), n_open, FINISHED)
    assert report[5:] == expected
    assert report[:5] == (Queue.INTERACTIVE, "committed", 2 * len(deadlines), 50, 7)


def test_refused_outcome_counts_no_final_prediction() -> None:
    assert make_attempt_report(claim(0), Outcome(50, 7, [ANSWER]), None, FINISHED) == AttemptReport(
        Queue.INTERACTIVE, "dropped", 2, 50, 7
    )


def test_reports_are_read_once_and_in_order(pipe: PoolPipe) -> None:
    reported = [
        AttemptReport(Queue.BULK, "committed", 1024, 10**12, 5, 1),
        AttemptReport(Queue.INTERACTIVE, LostReason.TIME_LIMIT),
    ]
    for each in reported:
        pipe.report_attempt(each)
    assert list(pipe.read_reports()) == reported
    assert list(pipe.read_reports()) == []


def test_reports_of_slices_are_read_among_the_others(pipe: PoolPipe) -> None:
    slices = [
        SliceReport("committed", 2**18, 3, 10, 20, 30, 40),
        SliceReport("given-back"),
        SliceReport("halved"),
        SliceReport("dropped", 1, 1, 2**40, 0, 0, 0),
    ]
    other = AttemptReport(Queue.BULK, LostReason.PROCESS)
    pipe.report_slice(slices[0])
    pipe.report_attempt(other)
    pipe.report_loaded(7)
    for each in slices[1:]:
        pipe.report_slice(each)
    assert list(pipe.read_reports()) == [slices[0], other, *slices[1:3], slices[3]._replace(queue_us=2**32 - 1)]
    assert pipe.count_loaded([7]) == 1


def test_full_pipe_drops_reports_without_blocking(pipe: PoolPipe) -> None:
    for _ in range(10_000):
        pipe.report_attempt(AttemptReport(Queue.BULK, "committed"))
    assert 1000 < len(list(pipe.read_reports())) < 10_000
    pipe.report_attempt(AttemptReport(Queue.BULK, "dropped"))
    assert [each.end for each in pipe.read_reports()] == ["dropped"]


def test_loaded_process_is_counted_while_it_lives(pipe: PoolPipe) -> None:
    pipe.report_loaded(7)
    pipe.report_attempt(AttemptReport(Queue.BULK, "committed"))
    pipe.report_loaded(8)
    assert [each.end for each in pipe.read_reports()] == ["committed"]
    assert pipe.count_loaded([7, 8, 9]) == 2
    assert pipe.count_loaded([8, 9]) == 1
    assert pipe.count_loaded([7, 8]) == 1


def test_loaded_process_waits_for_room_in_a_full_pipe(pipe: PoolPipe) -> None:
    for _ in range(10_000):
        pipe.report_attempt(AttemptReport(Queue.BULK, "committed"))
    loading = threading.Thread(target=pipe.report_loaded, args=[7])
    loading.start()
    assert pipe.count_loaded([7]) == 0  # nothing was read yet
    while loading.is_alive():
        list(pipe.read_reports())
        loading.join(0.01)
    list(pipe.read_reports())
    assert pipe.count_loaded([7]) == 1
