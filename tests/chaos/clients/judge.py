"""Judges the trials of a fault: the clients' results, the stored predictions, and leftover files."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from tests.chaos.clients.trial import Ended, Trial

_MAX_EXAMPLES: Final = 20
BARS: Final = ("twice", "lost", "wrong", "undocumented", "hung", "gave_up", "left", "early", "stray")
"""The names of the counts that must be 0."""


class Stored(msgspec.Struct, frozen=True):
    """A prediction with a record in the store."""

    prediction_id: str
    first: int | None
    """The number of its first row, from its result; None if it has no result."""
    state: str
    is_right: bool = False
    """Whether its result, fetched without a fault, equals the pipeline's own outputs."""


class ClientVerdict(msgspec.Struct):
    """The counts of one fault in one phase."""

    injections: int = 0
    struck: int = 0
    """Injections in which at least one request was struck."""
    right: int = 0
    errors: int = 0
    """Operations that ended with a documented error and left no file."""
    twice: int = 0
    """Further predictions of a submission that already had one."""
    lost: int = 0
    """Predictions known to the client or the store that have not succeeded at the time-out."""
    wrong: int = 0
    """Results that differ from the pipeline's own outputs: the client's, or those fetched later; incomplete files."""
    undocumented: int = 0
    """Exceptions that are not a `SepalError`, or have no message."""
    hung: int = 0
    gave_up: int = 0
    """Errors of clients whose retries should have outlasted the fault."""
    left: int = 0
    """Files other than the targets, or targets despite an error."""
    early: int = 0
    """Refused requests that were retried before the time in `Retry-After`."""
    stray: int = 0
    """Predictions that belong to no submission."""
    codes: dict[str, int] = {}
    """Errors by class."""
    examples: list[str] = []

    def missed(self) -> list[str]:
        """Describe the bars that are missed."""
        counts = {name.replace("_", " "): getattr(self, name) for name in BARS}
        return [f"{name}: {count}" for name, count in counts.items() if count]


def judge(trials: Sequence[Trial], stored: Sequence[Stored], listed: dict[str, int]) -> ClientVerdict:
    """Judge all trials of a fault.

    Args:
        trials: what the clients did.
        stored: what the store has of them, once everything is final or the time-out is reached.
        listed: for the key of each trial, the number of bulk predictions that `GET /predictions` lists.
    """
    verdict = ClientVerdict(injections=len(trials), struck=sum(trial.n_struck > 0 for trial in trials))
    by_first: dict[int | None, list[Stored]] = {}
    for each in stored:
        by_first.setdefault(each.first, []).append(each)
    codes: Counter[str] = Counter()
    for trial in trials:
        found = _count_violations(trial, by_first.pop(trial.first, []), listed.get(trial.key, 0))
        verdict.right += trial.ended is Ended.RIGHT
        verdict.errors += trial.ended is Ended.ERROR
        codes.update([trial.error.partition(":")[0]] if trial.ended is Ended.ERROR else [])
        for name, count in found.items():
            _add(verdict, name, count, f"injection {trial.number}: {trial.error or trial.left or trial.prediction_id}")
    for others in by_first.values():
        for each in others:
            name = "lost" if each.first is None else "stray"
            _add(verdict, name, 1, f"{each.prediction_id} is {each.state}")
    verdict.codes = dict(codes)
    return verdict


def _count_violations(trial: Trial, stored: Sequence[Stored], n_listed: int) -> dict[str, int]:
    """Count the violations of one trial."""
    own = next((each for each in stored if each.prediction_id == trial.prediction_id), None)
    is_lost = trial.prediction_id is not None and own is None
    n_wrong = sum(not each.is_right for each in stored if each.state == "succeeded")
    return {
        "twice": max(len(stored), n_listed if trial.is_uploaded else 0, 1) - 1,
        "lost": int(is_lost) + sum(each.state != "succeeded" for each in stored),
        "wrong": int(trial.ended is Ended.WRONG) + n_wrong,
        "undocumented": int(trial.ended is Ended.UNDOCUMENTED),
        "hung": int(trial.ended is Ended.HUNG),
        "gave_up": int(trial.ended is Ended.ERROR and not trial.lasts),
        "left": len(trial.left),
        "early": trial.early,
    }


def _add(verdict: ClientVerdict, name: str, count: int, example: str) -> None:
    if count:
        setattr(verdict, name, getattr(verdict, name) + count)
        verdict.examples += [f"{name}: {example}"][: _MAX_EXAMPLES - len(verdict.examples)]
