"""The chaos run's judgement: each way to break the promise is counted, and nothing else is."""

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.judge import Answer, Injection, Verdict, judge, recoveries
from tests.chaos.ledger import LAST_LOOKS, Ending, Ledger, Looked, Replied, Sent, Writer
from tests.chaos.results import Results, Row
from tests.chaos.table import write_page
from tests.chaos.traffic import Question, Trouble

NUMBER = 3
LABELS, LOG_PROBA = [30_000], [[-0.1, -math.inf]]
RIGHT = Ending("succeeded", None, LABELS, [[-0.1, "-Infinity"]])
CLEAN = Verdict(accepted=1, rows=1, answered=1)


def own(rows: list[list[float]]) -> Answer:
    assert rows == [[0, 0, 30_000]]
    return LABELS, LOG_PROBA


def ledger_of(*endings: Ending | None, trouble: Trouble = Trouble.NONE, at: float = 0, took: float = 1) -> Ledger:
    """A submission that was given an id, and the endings that its client saw, one look after another."""
    ledger = Ledger(Path("none"))
    ledger.take(Sent(NUMBER, Question(1, "", trouble), at))
    ledger.take(Replied(NUMBER, at, 202, "id", None, None))
    for ending in endings:
        if ending is not None:
            ledger.take(Looked(NUMBER, at + took, ending.digest, ending))
    return ledger


def verdict_of(*endings: Ending | None, trouble: Trouble = Trouble.NONE) -> Verdict:
    verdict = judge(ledger_of(*endings, trouble=trouble).accepted(), own)
    verdict.examples, verdict.codes = [], {}
    return verdict


def test_right_answer_that_stays_is_held_against_nobody() -> None:
    assert verdict_of(*[RIGHT] * LAST_LOOKS) == CLEAN


def test_prediction_that_never_becomes_final_is_lost() -> None:
    assert verdict_of() == Verdict(accepted=1, rows=1, lost=1)


def test_prediction_that_the_gateway_denies_is_lost() -> None:
    assert verdict_of(Ending("gone", "prediction-not-found")) == Verdict(accepted=1, rows=1, lost=1)


@pytest.mark.parametrize(
    "ending",
    [
        Ending("succeeded", None, [30_001], [[-0.1, "-Infinity"]]),
        Ending("succeeded", None, LABELS, [[math.nextafter(-0.1, 0), "-Infinity"]]),
        Ending("succeeded", None, LABELS, None),
        Ending("failed", "rows-rejected"),
        Ending("canceled"),
    ],
)
def test_other_ending_than_the_pipelines_is_wrong(ending: Ending) -> None:
    assert verdict_of(*[ending] * LAST_LOOKS).wrong == 1


@pytest.mark.parametrize("later", [Ending("succeeded", None, [30_001], None), Ending("gone", "prediction-gone")])
def test_ending_that_is_another_one_later_has_changed(later: Ending) -> None:
    assert verdict_of(RIGHT, later).changed == 1


def test_waiters_answer_counts_as_the_first_look() -> None:
    ledger = Ledger(Path("none"))
    ledger.take(Sent(NUMBER, Question(1, ""), 0))
    ledger.take(Replied(NUMBER, 1, 200, "id", None, RIGHT))
    other = Ending("failed", "poison")
    ledger.take(Looked(NUMBER, 2, other.digest, None))
    assert judge(ledger.accepted(), own).changed == 1


def test_ending_that_was_not_fetched_again_is_unchecked() -> None:
    assert verdict_of(RIGHT).unchecked == 1


def test_poison_may_fail_and_its_mates_may_not() -> None:
    poisoned = [Ending("failed", "poison")] * LAST_LOOKS
    assert verdict_of(*poisoned, trouble=Trouble.DIE) == Verdict(accepted=1, rows=1, failed=1)
    assert verdict_of(*poisoned, trouble=Trouble.TELL).wrong == 1


def test_refusals_and_lost_connections_are_no_promises() -> None:
    ledger = Ledger(Path("none"))
    for number, status in enumerate((503, 0)):
        ledger.take(Sent(number, Question(1, ""), 0))
        ledger.take(Replied(number, 0, status, None, "backlog-full" if status else None, None))
    verdict = judge(list(ledger.entries.values()), own)
    assert (verdict.accepted, verdict.refused, verdict.unknown) == (0, 1, 1)
    assert verdict.codes == {"backlog-full": 1}


def test_recovery_is_timed_from_the_fault_to_the_last_affected_ending() -> None:
    entries = [*ledger_of(RIGHT, at=9, took=4).accepted(), *ledger_of(RIGHT, at=8, took=3).accepted()]
    assert recoveries(entries, [Injection(0, at=10)]) == [3]
    assert recoveries(entries, [Injection(0, at=10, over_at=12)]) == [1]
    assert recoveries(entries, [Injection(0, at=20)]) == []
    assert recoveries(entries, [Injection(0, at=10), Injection(1, at=10.5)]) == [3]


def test_recovery_that_never_comes_is_no_time() -> None:
    entries = [*ledger_of(RIGHT, at=9, took=4).accepted(), *ledger_of(at=8).accepted()]
    assert recoveries(entries, [Injection(0, at=10)]) == [None]


def test_ledger_is_read_along_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    with closing(Writer(path)) as writer:
        writer.write(Sent(NUMBER, Question(1, ""), 0))
        assert not ledger.read().accepted()
        writer.write(Replied(NUMBER, 0, 200, "id", None, RIGHT))
        assert ledger.read().accepted()[0].ending == RIGHT


def row_of(verdict: Verdict, **fields: Any) -> Row:
    known: dict[str, Any] = {
        "committed_twice": 0,
        "recoveries": [0.5],
        "bar_seconds": 1.0,
        "may_lose": False,
        "backlog": 0,
    }
    return Row(fault="pool", title="pool process killed", injections=1, verdict=verdict, seconds=1, **known | fields)


@pytest.mark.parametrize(
    ("row", "missed"),
    [
        (row_of(CLEAN), []),
        (row_of(Verdict(lost=1)), ["lost: 1"]),
        (row_of(Verdict(lost=1), may_lose=True), []),
        (row_of(Verdict(changed=2)), ["changed: 2"]),
        (row_of(Verdict(wrong=3)), ["wrong: 3"]),
        (row_of(Verdict(unchecked=1)), ["unchecked: 1"]),
        (row_of(CLEAN, committed_twice=1), ["committed twice: 1"]),
        (row_of(CLEAN, recoveries=[0.5, 1.5]), ["recovery: 1.5 s, and not under 1 s"]),
        (row_of(CLEAN, recoveries=[0.5, None]), ["recovery: not always"]),
    ],
)
def test_row_names_the_bars_that_it_misses(row: Row, missed: list[str]) -> None:
    assert row.missed() == missed


def test_page_shows_every_row_and_what_is_missing() -> None:
    machine = {"cores": "2", "processor": "P", "memory": "1 GiB", "kernel": "Linux 6", "python": "3.11"}
    results = Results("abc", "2000-01-01", machine, {}, True, [row_of(CLEAN), row_of(Verdict(lost=1))])
    page = write_page(results)
    assert "| pool process killed | 1 | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0.50 s | 0.50 s | < 1 s |" in page
    assert "| **all** | 2 | 1 | 0 | 0 | 1 | 0 | 1 | 0 | 0 | 0 | 0 |" in page
    assert "- pool: lost: 1" in page
    assert "- accepted: 1, and not 20,000" in page
