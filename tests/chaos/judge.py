"""Judges a ledger: what was accepted and not answered, answered otherwise than by the pipeline, or answered twice."""

import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from tests.chaos.ledger import GONE, LAST_LOOKS, Ending, Entry
from tests.chaos.traffic import Trouble
from worker.pool import artifact

Answer = tuple[list[Any], list[list[float]]]
"""Labels and logarithms of probabilities, row by row."""
Own = Callable[[list[list[float]]], Answer]
"""The pipeline's own answer to some rows."""

# What these do to their process may be survived: then they are answered as if they had asked for nothing.
_MAY_FAIL: Final = frozenset({Trouble.DIE, Trouble.HANG, Trouble.EAT})


class Injection(msgspec.Struct, frozen=True):
    """One fault: when it began and, where it lasted, when it was over; on the machine's monotonic clock."""

    number: int
    at: float
    over_at: float | None = None

    @property
    def cleared_at(self) -> float:
        """From when on recovery can begin, and is timed."""
        return self.at if self.over_at is None else self.over_at

    def has_affected(self, entry: Entry) -> bool:
        """Whether a prediction is part of the fault, or was under way while it lasted."""
        if entry.sent.question.injection == self.number:
            return True
        return entry.sent.at < self.cleared_at and (entry.ended_at is None or entry.ended_at > self.at)


class Verdict(msgspec.Struct):
    """What a ledger says."""

    accepted: int = 0
    rows: int = 0
    """In what was accepted."""
    refused: int = 0
    unknown: int = 0
    """Submissions whose connection was lost before an id came."""
    answered: int = 0
    failed: int = 0
    """Final without a result, as troublesome rows may be."""
    lost: int = 0
    """Accepted and not final when patience ended, or denied by the gateway."""
    changed: int = 0
    """Final with one answer, and later with another."""
    wrong: int = 0
    """Final otherwise than the pipeline would have it."""
    unchecked: int = 0
    """Final, and not fetched twice more at the end."""
    codes: dict[str, int] = {}
    """Of refusals and failures."""
    examples: list[str] = []
    """A few of those that are lost, changed or wrong."""


def pipelines_own(model_dir: Path) -> Own:
    """Load the pipeline into this process."""
    _, pipeline = artifact.load(model_dir)

    def answer(rows: list[list[float]]) -> Answer:
        matrix = np.array(rows, dtype=np.float64)
        return pipeline.predict(matrix).tolist(), pipeline.predict_log_proba(matrix).tolist()

    return answer


def judge(entries: Sequence[Entry], own: Own) -> Verdict:
    """Count what became of every submission."""
    verdict, codes = Verdict(), Counter[str]()
    for entry in entries:
        if not entry.is_accepted:
            _count_unaccepted(entry, verdict, codes)
            continue
        verdict.accepted += 1
        verdict.rows += entry.sent.question.n_rows
        for fault in _faults(entry, own, verdict, codes):
            setattr(verdict, fault, getattr(verdict, fault) + 1)
            if len(verdict.examples) < 20:
                verdict.examples.append(_describe(fault, entry))
    verdict.codes = dict(codes.most_common())
    return verdict


def recoveries(entries: Sequence[Entry], injections: Sequence[Injection]) -> list[float | None]:
    """Seconds until the last affected prediction was final, an injection; None where one never was.

    A prediction is affected by the first injection that met it. Injections that met none are left out.
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
    """The middle one; one that never came is longer than all others."""
    times = [float("inf") if one is None else one for one in recovered]
    middle = statistics.median_high(times) if times else None
    return None if middle == float("inf") else middle


def _recovery(injection: Injection, affected: Sequence[Entry]) -> float | None:
    ended = [entry.ended_at for entry in affected if entry.ended_at is not None and not _is_gone(entry)]
    if len(ended) < len(affected):
        return None
    return max(0.0, max(ended) - injection.cleared_at)


def _count_unaccepted(entry: Entry, verdict: Verdict, codes: Counter[str]) -> None:
    if entry.replied is None or entry.replied.status == 0:
        verdict.unknown += 1
    else:
        verdict.refused += 1
        codes[entry.replied.code or str(entry.replied.status)] += 1


def _faults(entry: Entry, own: Own, verdict: Verdict, codes: Counter[str]) -> list[str]:
    if entry.ending is None or _is_gone(entry):
        return ["lost"]
    if entry.ending.state == "succeeded":
        verdict.answered += 1
    else:
        verdict.failed += 1
        codes[entry.ending.code or entry.ending.state] += 1
    found = {
        "changed": len(entry.digests) > 1,
        "wrong": not _is_right(entry, entry.ending, own),
        "unchecked": entry.looks < LAST_LOOKS,
    }
    return [fault for fault, is_so in found.items() if is_so]


def _is_gone(entry: Entry) -> bool:
    return entry.ending is not None and entry.ending.state == GONE


def _is_right(entry: Entry, ending: Ending, own: Own) -> bool:
    question = entry.sent.question
    if ending.state != "succeeded":
        return ending.state == "failed" and question.trouble in _MAY_FAIL
    labels, log_proba = own(question.calm().rows(entry.sent.number))
    told = [[float(value) for value in row] for row in ending.log_proba or []]
    return ending.prediction == labels and _bits(told) == _bits(log_proba)


def _bits(rows: list[list[float]]) -> list[bytes]:
    return [array("d", row).tobytes() for row in rows]


def _describe(fault: str, entry: Entry) -> str:
    ending = "not final" if entry.ending is None else f"{entry.ending.state} {entry.ending.code or ''}".strip()
    question = entry.sent.question
    return f"{fault}: submission {entry.sent.number}, {question.n_rows} rows, {question.trouble.name}: {ending}"
