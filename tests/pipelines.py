"""Pipelines that misbehave on purpose; importable by workers, so that their artifacts can be unpickled."""

import os
import signal
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

from tests.chaos.traffic import Trouble

Array = NDArray[np.float64]


class SignClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Says whether a row's first column is positive."""

    def fit(self, rows: Array, target: Any) -> Self:
        del rows, target
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, rows: Array) -> NDArray[np.int64]:
        return (rows[:, 0] > 0).astype(np.int64)

    def predict_proba(self, rows: Array) -> Array:
        return np.column_stack([rows[:, 0] <= 0, rows[:, 0] > 0]).astype(np.float64)


class RejectsSevens(SignClassifier):
    """Raises on any row that starts with 7."""

    def predict(self, rows: Array) -> NDArray[np.int64]:
        if (rows[:, 0] == 7).any():
            raise ValueError("seven is not a number I know")
        return super().predict(rows)


class SleepsAsTold(SignClassifier):
    """Sleeps for as many milliseconds as the first column of the first row says."""

    def predict(self, rows: Array) -> NDArray[np.int64]:
        time.sleep(max(rows[0, 0], 0) / 1000)
        return super().predict(rows)


class SleepsOrRejects(SleepsAsTold, RejectsSevens):
    """Sleeps as told, and then raises on any row that starts with 7."""


def gate(folder: str | Path, number: float) -> Path:
    """The file that is there while a gate is closed."""
    return Path(folder, f"{number:.0f}")


class WaitsAtGates(SignClassifier):
    """Waits while a gate is closed that a row's second column names."""

    def __init__(self, folder: str = "") -> None:
        self.folder = folder

    def predict(self, rows: Array) -> NDArray[np.int64]:
        for number in np.unique(rows[:, 1]):
            while gate(self.folder, number).exists():
                time.sleep(0.005)
        return super().predict(rows)


class WaitsOrRejects(WaitsAtGates, RejectsSevens):
    """Waits at gates, and then raises on any row that starts with 7."""


class Lethal(WaitsAtGates):
    """Waits at gates, and does to its process what a row's second column says."""

    DIE, EAT, STOP = 13, 14, 15
    """End it; ask for a terabyte; open the gate of that number where it is closed, and stop until somebody resumes."""

    def predict(self, rows: Array) -> NDArray[np.int64]:
        stop = gate(self.folder, self.STOP)
        if (rows[:, 1] == self.STOP).any() and stop.exists():
            stop.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
        labels = super().predict(rows)
        if (rows[:, 1] == self.DIE).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (rows[:, 1] == self.EAT).any():
            np.zeros(2**40, dtype=np.uint8)
        return labels


class CountsCalls(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Leaves rows as they are, and counts how often it was asked to; nothing shows that it was fitted."""

    calls = 0

    def fit(self, rows: Array, target: Any) -> Self:
        del rows, target
        return self

    def transform(self, rows: Array) -> Array:
        self.calls += 1
        return rows


class SlowToLoad(SignClassifier):
    """Takes longer to unpickle than Celery gives a pool process by default (4 s)."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        time.sleep(5)
        super().__setstate__(state)


class LoadsAtAGate(WaitsAtGates):
    """Is not unpickled while gate 0 is closed."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        while gate(state["folder"], 0).exists():
            time.sleep(0.005)
        super().__setstate__(state)


class LeavesATrace(SignClassifier):
    """Writes a file when it is unpickled: a stand-in for an artifact that does harm."""

    def __init__(self, trace: str = "") -> None:
        self.trace = trace

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path(state["trace"]).touch()
        super().__setstate__(state)


class FailsToLoad(SignClassifier):
    """Cannot be unpickled where it is served."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise RuntimeError("a library that this pipeline needs is not here")


class Troublesome(SignClassifier):
    """Answers each row with its number, and does to its process what the row's first column says.

    An artifact names this class; so a worker can only load it where `tests` can be imported, which is where it is
    started: at the root of the repository.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = folder

    def predict(self, rows: Array) -> NDArray[np.int64]:
        for trouble, argument, number in rows[rows[:, 0] != 0]:
            self._make_trouble(Trouble(int(trouble)), float(argument), Path(self.folder, f"{number:.0f}"))
        return rows[:, 2].astype(np.int64)

    def predict_log_proba(self, rows: Array) -> Array:
        # A third has every bit of its fraction set somewhere: what is cut on the way is seen.
        return np.column_stack([rows[:, 2] / -3, np.full(len(rows), -np.inf)])

    def _make_trouble(self, trouble: Trouble, argument: float, told: Path) -> None:
        if trouble is Trouble.DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        elif trouble is Trouble.HANG:
            while True:
                time.sleep(3600)
        elif trouble is Trouble.EAT:
            np.zeros(int(argument), dtype=np.uint8)  # never touched: it costs the machine nothing
        elif not told.exists():
            written = told.with_suffix(".new")
            written.write_text(str(os.getpid()))
            written.rename(told)
            time.sleep(argument / 1000)
