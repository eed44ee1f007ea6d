"""The request that every system gets, and the outputs that the pipeline computes for it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from benchmarks.serving.errors import CannotMeasure
from shared.card import CARD_FILE, PIPELINE_FILE
from shared.errors import ArtifactError
from worker.pool.artifact import load

ROOT: Final = Path(__file__).parents[2]
MODEL_DIR: Final = ROOT / "models" / "iris" / "1"

Rows = list[list[float]]

# Rows of all three classes; the first is from the tutorial.
_IRISES: Final = [
    [4.8, 3.0, 1.4, 0.3],
    [6.4, 3.2, 4.5, 1.5],
    [6.3, 3.3, 6.0, 2.5],
    [5.0, 3.6, 1.4, 0.2],
    [5.9, 3.0, 4.2, 1.5],
    [7.2, 3.6, 6.1, 2.5],
    [5.4, 3.9, 1.7, 0.4],
    [5.6, 2.9, 3.6, 1.3],
]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs for the rows of a request."""

    prediction: list[int]
    log_proba: list[list[float]]
    """Natural logarithms, one list per row."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The model that all systems load, and the rows to predict."""

    model: Path
    pipeline: Any

    @classmethod
    def load(cls, model_dir: Path = MODEL_DIR) -> Self:
        """Load the iris pipeline; train it if there is none.

        Raises:
            CannotMeasure: the artifact is damaged or was made with another scikit-learn version.
        """
        if not (model_dir / CARD_FILE).exists():
            models_dir = model_dir.parents[1]
            subprocess.run([sys.executable, "-m", "training", "--models-dir", str(models_dir)], cwd=ROOT, check=True)
        try:
            return cls(model_dir / PIPELINE_FILE, load(model_dir)[1])
        except ArtifactError as error:
            raise CannotMeasure(str(error)) from error

    def rows(self, n_rows: int) -> Rows:
        """Return the rows of a request."""
        return [_IRISES[number % len(_IRISES)] for number in range(n_rows)]

    def expected(self, n_rows: int) -> Outputs:
        """Return the outputs that the pipeline computes for these rows."""
        rows = self.rows(n_rows)
        with np.errstate(divide="ignore"):  # the log of a zero probability
            return Outputs(self.pipeline.predict(rows).tolist(), self.pipeline.predict_log_proba(rows).tolist())
