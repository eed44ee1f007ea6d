"""The judge of the chaos run counts each violation, and nothing else."""

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.bulk.verdict import BulkVerdict
from tests.chaos.judge import Answer, Injection, Verdict, judge, recoveries
from tests.chaos.ledger import FINAL_POLLS, FinalResponse, Ledger, Polled, Responded, Sent, Writer
from tests.chaos.results import FaultResult, Results
from tests.chaos.table import write_page
from tests.chaos.traffic import Submission, Trouble

NUMBER = 3
LABELS, LOG_PROBA = [30_000], [[-0.1, -math.inf]]
RIGHT = FinalResponse("succeeded", None, LABELS, [[-0.1, "-Infinity"]])
MACHINE = {"cores": "2", "processor": "P", "memory": "1 GiB", "kernel": "Linux 6", "python": "3.11"}
CLEAN = Verdict(accepted=1, rows=1, answered=1)


def reference(rows: list[list[float]]) -> Answer:
    assert rows == [[0, 0, 30_000]]
    return LABELS, LOG_PROBA


def ledger_of(*finals: FinalResponse | None, trouble: Trouble = Trouble.NONE, at: float = 0, took: float = 1) -> Ledger:
    """A ledger of one accepted submission, with one poll for each final response."""
    ledger = Ledger(Path("none"))
    ledger.add(Sent(NUMBER, Submission(1, "", trouble), at))
    ledger.add(Responded(NUMBER, at, 202, "id", None, None))
    for final in finals:
        if final is not None:
            ledger.add(Polled(NUMBER, at + took, final.digest, final))
    return ledger


def verdict_of(*finals: FinalResponse | None, trouble: Trouble = Trouble.NONE) -> Verdict:
    verdict = judge(ledger_of(*finals, trouble=trouble).accepted(), reference)
    verdict.examples, verdict.codes = [], {}
    return verdict


def test_right_answer_that_does_not_change_is_no_violation() -> None:
    assert verdict_of(*[RIGHT] * FINAL_POLLS) == CLEAN


def test_prediction_that_never_becomes_final_is_lost() -> None:
    assert verdict_of() == Verdict(accepted=1, rows=1, lost=1)


def test_prediction_that_the_gateway_does_not_know_is_lost() -> None:
    assert verdict_of(FinalResponse("gone", "prediction-not-found")) == Verdict(accepted=1, rows=1, lost=1)


@pytest.mark.parametrize(
    "final",
    [
        FinalResponse("succeeded", None, [30_001], [[-0.1, "-Infinity"]]),
        FinalResponse("succeeded", None, LABELS, [[math.nextafter(-0.1, 0), "-Infinity"]]),
        FinalResponse("succeeded", None, LABELS, None),
        FinalResponse("failed", "rows-rejected"),
        FinalResponse("canceled"),
    ],
)
def test_final_response_that_differs_from_the_pipeline_is_wrong(final: FinalResponse) -> None:
    assert verdict_of(*[final] * FINAL_POLLS).wrong == 1


@pytest.mark.parametrize(
    "later", [FinalResponse("succeeded", None, [30_001], None), FinalResponse("gone", "prediction-gone")]
)
def test_final_response_that_differs_later_has_changed(later: FinalResponse) -> None:
    assert verdict_of(RIGHT, later).changed == 1


def test_response_to_a_waiting_client_counts_as_the_first_poll() -> None:
    ledger = Ledger(Path("none"))
    ledger.add(Sent(NUMBER, Submission(1, ""), 0))
    ledger.add(Responded(NUMBER, 1, 200, "id", None, RIGHT))
    other = FinalResponse("failed", "poison")
    ledger.add(Polled(NUMBER, 2, other.digest, None))
    assert judge(ledger.accepted(), reference).changed == 1


def test_result_that_was_not_fetched_again_is_unchecked() -> None:
    assert verdict_of(RIGHT).unchecked == 1


def test_poison_may_fail_and_other_predictions_may_not() -> None:
    poisoned = [FinalResponse("failed", "poison")] * FINAL_POLLS
    assert verdict_of(*poisoned, trouble=Trouble.KILL) == Verdict(accepted=1, rows=1, failed=1)
    assert verdict_of(*poisoned, trouble=Trouble.REPORT_PID).wrong == 1


def test_refusals_and_lost_connections_are_not_accepted() -> None:
    ledger = Ledger(Path("none"))
    for number, status in enumerate((503, 0)):
        ledger.add(Sent(number, Submission(1, ""), 0))
        ledger.add(Responded(number, 0, status, None, "backlog-full" if status else None, None))
    verdict = judge(list(ledger.entries.values()), reference)
    assert (verdict.accepted, verdict.refused, verdict.unknown) == (0, 1, 1)
    assert verdict.codes == {"backlog-full": 1}


def test_recovery_is_measured_from_the_fault_to_the_last_affected_final_response() -> None:
    entries = [*ledger_of(RIGHT, at=9, took=4).accepted(), *ledger_of(RIGHT, at=8, took=3).accepted()]
    assert recoveries(entries, [Injection(0, began_at=10)]) == [3]
    assert recoveries(entries, [Injection(0, began_at=10, ended_at=12)]) == [1]
    assert recoveries(entries, [Injection(0, began_at=20)]) == []
    assert recoveries(entries, [Injection(0, began_at=10), Injection(1, began_at=10.5)]) == [3]


def test_recovery_that_never_happens_has_no_time() -> None:
    entries = [*ledger_of(RIGHT, at=9, took=4).accepted(), *ledger_of(at=8).accepted()]
    assert recoveries(entries, [Injection(0, began_at=10)]) == [None]


def test_ledger_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    with closing(Writer(path)) as writer:
        writer.write(Sent(NUMBER, Submission(1, ""), 0))
        assert not ledger.read().accepted()
        writer.write(Responded(NUMBER, 0, 200, "id", None, RIGHT))
        assert ledger.read().accepted()[0].final == RIGHT


def result_of(verdict: Verdict, **fields: Any) -> FaultResult:
    known: dict[str, Any] = {
        "committed_twice": 0,
        "recoveries": [0.5],
        "bar_seconds": 1.0,
        "may_lose": False,
        "backlog": 0,
    }
    return FaultResult("pool", "pool process killed", 1, verdict, seconds=1, **known | fields)


def bulk_result(bulk: BulkVerdict) -> FaultResult:
    return result_of(CLEAN, bulk=bulk, bulk_bar_seconds=60)


@pytest.mark.parametrize(
    ("result", "missed"),
    [
        (result_of(CLEAN), []),
        (result_of(Verdict(lost=1)), ["lost: 1"]),
        (result_of(Verdict(lost=1), may_lose=True), []),
        (result_of(Verdict(changed=2)), ["changed: 2"]),
        (result_of(Verdict(wrong=3)), ["wrong: 3"]),
        (result_of(Verdict(unchecked=1)), ["unchecked: 1"]),
        (result_of(CLEAN, committed_twice=1), ["committed twice: 1"]),
        (result_of(CLEAN, recoveries=[0.5, 1.5]), ["recovery: 1.5 s; the bar is 1 s"]),
        (bulk_result(BulkVerdict(uploads=1, succeeded=1, recoveries=[59.0])), []),
        (bulk_result(BulkVerdict(never_accepted=1)), ["bulk predictions: never accepted: 1"]),
        (bulk_result(BulkVerdict(lost=1, recoveries=[None])), ["bulk predictions: lost: 1"]),
        (bulk_result(BulkVerdict(wrong=2)), ["bulk predictions: wrong: 2"]),
        (bulk_result(BulkVerdict(left=3)), ["bulk predictions: left over: 3"]),
        (bulk_result(BulkVerdict(recoveries=[1.0, 60.0])), ["bulk recovery: 60.0 s; the bar is 60 s"]),
        (result_of(CLEAN, recoveries=[0.5, None]), ["recovery: a prediction never became final"]),
    ],
)
def test_result_names_the_bars_that_it_misses(result: FaultResult, missed: list[str]) -> None:
    assert result.missed() == missed


def test_page_shows_every_fault_and_the_missed_bars() -> None:
    results = Results("abc", "2000-01-01", MACHINE, {}, True, [result_of(CLEAN), result_of(Verdict(lost=1))])
    page = write_page(results)
    assert "| pool process killed | 1 | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0.50 s | 0.50 s | < 1 s |" in page
    assert "| **all** | 2 | 1 | 0 | 0 | 1 | 0 | 1 | 0 | 0 | 0 | 0 |" in page
    assert "- pool: lost: 1" in page
    assert "- accepted: 1; the bar is 20,000" in page


def test_page_shows_bulk_predictions_in_a_table_of_their_own() -> None:
    bulk = BulkVerdict(uploads=2, succeeded=2, refusals={"body-not-read": 1}, recoveries=[1.0, 2.0])
    page = write_page(Results("abc", "2000-01-01", MACHINE, {}, False, [bulk_result(bulk)]))
    assert "| pool process killed | 2 | 1 | 2 | 0 | 0 | 0 | 0 | 2.0 s | 2.0 s | < 60 s |" in page
    assert "- pool process killed, bulk predictions: `body-not-read` 1" in page
