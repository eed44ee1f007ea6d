"""Pipelines that misbehave on purpose; importable by workers, so that their artifacts can be unpickled."""

import os
import signal
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

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


class Lethal(SleepsAsTold):
    """Sleeps as told, and then ends its process, or asks for a terabyte, where a row's second column says so."""

    DIE, EAT = 13, 14

    def predict(self, rows: Array) -> NDArray[np.int64]:
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
