"""A pipeline that costs the same CPU for every batch, whatever the rows; mounted into the workers' containers."""

import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline

from shared.card import Data

COLUMNS = 2


class Burns(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Says whether a row's first column is positive, after so many milliseconds of CPU a batch."""

    def __init__(self, milliseconds: float = 20) -> None:
        self.milliseconds = milliseconds

    def fit(self, rows: Any, target: Any) -> Self:
        """Nothing to learn."""
        del rows, target
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """Burn, and answer."""
        until = time.process_time() + self.milliseconds / 1000
        while time.process_time() < until:
            pass
        return (rows[:, 0] > 0).astype(np.int64)

    def predict_proba(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Certain in either case, and free."""
        return np.column_stack([rows[:, 0] <= 0, rows[:, 0] > 0]).astype(np.float64)


def save_burning(models_dir: Path, milliseconds: float) -> Path:
    """Write it as a model directory."""
    from training.artifact import save  # workers import this module, and have no training

    pipeline = make_pipeline(Burns(milliseconds)).fit(np.zeros((1, COLUMNS)), [0])
    return save(
        pipeline,
        models_dir,
        name="burning",
        version="1",
        features=[f"column {number}" for number in range(COLUMNS)],
        example=np.zeros((1, COLUMNS)),
        data=Data(source="none", rows=0),
    )
