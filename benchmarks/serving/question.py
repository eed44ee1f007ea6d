"""The one request that every system is asked, and the pipeline's own answer to it."""

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

# Rows of all three classes; the first is the tutorial's.
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
class Answer:
    """What a system has answered, in numbers."""

    prediction: list[int]
    log_proba: list[list[float]]


@dataclass(frozen=True, slots=True)
class Question:
    """The model that all systems load, and what it answers."""

    model: Path
    pipeline: Any

    @classmethod
    def load(cls, model_dir: Path = MODEL_DIR) -> Self:
        """Load the iris pipeline; train it where there is none yet.

        Raises:
            CannotMeasure: the pipeline was made with another scikit-learn, or is damaged.
        """
        if not (model_dir / CARD_FILE).exists():
            models_dir = model_dir.parents[1]
            subprocess.run([sys.executable, "-m", "training", "--models-dir", str(models_dir)], cwd=ROOT, check=True)
        try:
            return cls(model_dir / PIPELINE_FILE, load(model_dir)[1])
        except ArtifactError as error:
            raise CannotMeasure(str(error)) from error

    def rows(self, n_rows: int) -> Rows:
        """The rows of a request."""
        return [_IRISES[number % len(_IRISES)] for number in range(n_rows)]

    def answer(self, n_rows: int) -> Answer:
        """What the pipeline itself says to them."""
        rows = self.rows(n_rows)
        with np.errstate(divide="ignore"):  # the log of a zero probability is what is wanted
            return Answer(self.pipeline.predict(rows).tolist(), self.pipeline.predict_log_proba(rows).tolist())
