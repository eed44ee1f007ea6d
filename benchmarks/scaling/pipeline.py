"""A pipeline that uses a fixed CPU time per batch; mounted into the worker containers."""

import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline

COLUMNS = 2


class FixedCostClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Predicts whether a row's first column is positive, and uses `milliseconds` of CPU time per batch."""

    def __init__(self, milliseconds: float = 20) -> None:
        self.milliseconds = milliseconds

    def fit(self, rows: Any, target: Any) -> Self:
        """Set the classes."""
        del rows, target
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """Use the CPU time, then predict."""
        until = time.process_time() + self.milliseconds / 1000
        while time.process_time() < until:
            pass
        return (rows[:, 0] > 0).astype(np.int64)

    def predict_proba(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of 0 and 1, without using CPU time."""
        return np.column_stack([rows[:, 0] <= 0, rows[:, 0] > 0]).astype(np.float64)


def save_fixed_cost(models_dir: Path, milliseconds: float) -> Path:
    """Write the pipeline as a model directory, and return its path."""
    from training.artifact import save  # workers import this module without `training`

    pipeline = make_pipeline(FixedCostClassifier(milliseconds)).fit(np.zeros((1, COLUMNS)), [0])
    return save(
        pipeline,
        models_dir,
        name="fixed-cost",
        version="1",
        X=np.zeros((1, COLUMNS)),
        source="none",
    )
