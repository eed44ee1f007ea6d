"""What pool processes tell of their attempts: who has become final by it, and what a pipe holds."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from shared.card import ModelRef
from shared.ids import new_batch_id
from shared.names import FailureCode, Loss, Queue
from shared.rows import EncodedRows
from shared.store.attempts import Claim
from shared.store.records import Answer, Failure, Member, Outcome
from worker.process import report
from worker.reports import Report, Reports

ANSWER = Answer(b"1", None)
REJECTED = Failure(FailureCode.ROWS_REJECTED, "seven")
EXPIRED = Failure(FailureCode.EXPIRED, "late")
PUNCTUAL, LATE = 2_000_000, 500_000  # deadlines; the commit comes at a second
FINISHED = 1_000_000


@pytest.fixture
def reports() -> Iterator[Reports]:
    with closing(Reports()) as reports:
        yield reports


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
        ((PUNCTUAL, LATE), (ANSWER, ANSWER), 0, (1, 0, 1)),
        ((0, PUNCTUAL), (ANSWER, EXPIRED), 0, (1, 0, 1)),
        ((0, 0, 0), (ANSWER, ANSWER, ANSWER), 2, (1, 0, 0)),
        ((0,), (REJECTED,), 1, (0, 0, 0)),
        ((LATE,), (ANSWER,), 1, (0, 0, 0)),
    ],
)
def test_each_prediction_is_counted_once_at_most(
    deadlines: tuple[int, ...], ends: tuple[Answer | Failure, ...], n_open: int, expected: tuple[int, int, int]
) -> None:
    told = report(claim(*deadlines), Outcome(50, 7, list(ends)), n_open, FINISHED)
    assert told[5:] == expected
    assert told[:5] == (Queue.INTERACTIVE, "committed", 2 * len(deadlines), 50, 7)


def test_refused_outcome_makes_nothing_final() -> None:
    assert report(claim(0), Outcome(50, 7, [ANSWER]), None, FINISHED) == Report(Queue.INTERACTIVE, "dropped", 2, 50, 7)


def test_what_is_told_is_read_once_and_in_order(reports: Reports) -> None:
    told = [Report(Queue.BULK, "committed", 1024, 10**12, 5, 1), Report(Queue.INTERACTIVE, Loss.TIME_LIMIT)]
    for each in told:
        reports.tell(each)
    assert list(reports.read()) == told
    assert list(reports.read()) == []


def test_full_pipe_stops_nobody(reports: Reports) -> None:
    for _ in range(10_000):
        reports.tell(Report(Queue.BULK, "committed"))
    assert 1000 < len(list(reports.read())) < 10_000
    reports.tell(Report(Queue.BULK, "dropped"))
    assert [each.end for each in reports.read()] == ["dropped"]
