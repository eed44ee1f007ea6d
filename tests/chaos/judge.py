"""Judges a ledger: counts predictions that were lost, changed later, or differ from the pipeline's own results."""

import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from tests.chaos.ledger import FINAL_POLLS, GONE, Entry, FinalResponse
from tests.chaos.traffic import Trouble
from worker.pool import artifact

Answer = tuple[list[Any], list[list[float]]]
"""The label and the log probabilities of each row."""
Reference = Callable[[list[list[float]]], Answer]
"""Computes the pipeline's own output for some rows."""

# A prediction with one of these may fail; if its process survives, the answer is the same as without it.
_MAY_FAIL: Final = frozenset({Trouble.KILL, Trouble.HANG, Trouble.ALLOCATE})


class Injection(msgspec.Struct, frozen=True):
    """One injection of a fault: when it began and, for a lasting fault, ended; on the machine's monotonic clock."""

    number: int
    began_at: float
    ended_at: float | None = None

    @property
    def cleared_at(self) -> float:
        """The time from which the recovery is measured."""
        return self.began_at if self.ended_at is None else self.ended_at

    def has_affected(self, entry: Entry) -> bool:
        """Return whether a prediction is part of the fault, or was open during it."""
        if entry.sent.submission.injection == self.number:
            return True
        return entry.sent.at < self.cleared_at and (entry.final_at is None or entry.final_at > self.began_at)


class Verdict(msgspec.Struct):
    """The counts of a ledger."""

    accepted: int = 0
    rows: int = 0
    """Rows of accepted predictions."""
    refused: int = 0
    unknown: int = 0
    """Submissions without a response: the connection was lost."""
    answered: int = 0
    failed: int = 0
    """Final without a result; allowed for troublesome rows."""
    lost: int = 0
    """Accepted, and not final at the time-out, or unknown to the gateway (404, 410)."""
    changed: int = 0
    """Final, but with a different response at a later poll."""
    wrong: int = 0
    """Final, and different from the pipeline's own output."""
    unchecked: int = 0
    """Final, but not fetched twice more at the end."""
    codes: dict[str, int] = {}
    """Refusals and failures by code."""
    examples: list[str] = []
    """A few submissions that are lost, changed, wrong or unchecked."""


def load_reference(model_dir: Path) -> Reference:
    """Load the pipeline into this process, to compute the expected results."""
    _, pipeline = artifact.load(model_dir)

    def answer(rows: list[list[float]]) -> Answer:
        matrix = np.array(rows, dtype=np.float64)
        return pipeline.predict(matrix).tolist(), pipeline.predict_log_proba(matrix).tolist()

    return answer


def judge(entries: Sequence[Entry], reference: Reference) -> Verdict:
    """Count how every submission ended."""
    verdict, codes = Verdict(), Counter[str]()
    for entry in entries:
        if not entry.is_accepted:
            _count_unaccepted(entry, verdict, codes)
            continue
        verdict.accepted += 1
        verdict.rows += entry.sent.submission.n_rows
        for violation in _find_violations(entry, reference, verdict, codes):
            setattr(verdict, violation, getattr(verdict, violation) + 1)
            if len(verdict.examples) < 20:
                verdict.examples.append(_describe(violation, entry))
    verdict.codes = dict(codes.most_common())
    return verdict


def recoveries(entries: Sequence[Entry], injections: Sequence[Injection]) -> list[float | None]:
    """Return for each injection the seconds until its last affected prediction was final; None if one never was.

    A prediction counts for the first injection that affected it. Injections that affected none are left out.
    """
    affected: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.is_accepted:
            injection = next((one for one in injections if one.has_affected(entry)), None)
            if injection is not None:
                affected.setdefault(injection.number, []).append(entry)
    return [
        _recovery(injection, affected[injection.number]) for injection in injections if injection.number in affected
    ]


def median(recovered: Sequence[float | None]) -> float | None:
    """The median recovery; one that never happened counts as infinite, and an infinite median is None."""
    times = [float("inf") if one is None else one for one in recovered]
    middle = statistics.median_high(times) if times else None
    return None if middle == float("inf") else middle


def _recovery(injection: Injection, affected: Sequence[Entry]) -> float | None:
    final_at = [entry.final_at for entry in affected if entry.final_at is not None and not _is_gone(entry)]
    if len(final_at) < len(affected):
        return None
    return max(0.0, max(final_at) - injection.cleared_at)


def _count_unaccepted(entry: Entry, verdict: Verdict, codes: Counter[str]) -> None:
    if entry.responded is None or entry.responded.status == 0:
        verdict.unknown += 1
    else:
        verdict.refused += 1
        codes[entry.responded.code or str(entry.responded.status)] += 1


def _find_violations(entry: Entry, reference: Reference, verdict: Verdict, codes: Counter[str]) -> list[str]:
    if entry.final is None or _is_gone(entry):
        return ["lost"]
    if entry.final.state == "succeeded":
        verdict.answered += 1
    else:
        verdict.failed += 1
        codes[entry.final.code or entry.final.state] += 1
    found = {
        "changed": len(entry.digests) > 1,
        "wrong": not _is_right(entry, entry.final, reference),
        "unchecked": entry.polls < FINAL_POLLS,
    }
    return [violation for violation, is_found in found.items() if is_found]


def _is_gone(entry: Entry) -> bool:
    return entry.final is not None and entry.final.state == GONE


def _is_right(entry: Entry, final: FinalResponse, reference: Reference) -> bool:
    submission = entry.sent.submission
    if final.state != "succeeded":
        return final.state == "failed" and submission.trouble in _MAY_FAIL
    labels, log_proba = reference(submission.without_trouble().rows(entry.sent.number))
    received = [[float(value) for value in row] for row in final.log_proba or []]
    return final.prediction == labels and _bits(received) == _bits(log_proba)


def _bits(rows: list[list[float]]) -> list[bytes]:
    return [array("d", row).tobytes() for row in rows]


def _describe(violation: str, entry: Entry) -> str:
    state = "not final" if entry.final is None else f"{entry.final.state} {entry.final.code or ''}".strip()
    submission = entry.sent.submission
    return f"{violation}: submission {entry.sent.number}, {submission.n_rows} rows, {submission.trouble.name}: {state}"
