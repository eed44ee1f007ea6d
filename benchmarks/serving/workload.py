"""The requests that are sent to every system, and the outputs that the pipeline computes for them."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from benchmarks.serving.errors import CannotMeasure
from shared.card import CARD_FILE, PIPELINE_FILE
from shared.errors import ArtifactError
from training.recipes import RECIPES
from worker.pool.artifact import load

ROOT: Final = Path(__file__).parents[2]
MODELS_DIR: Final = ROOT / "models"
MODEL_DIR: Final = MODELS_DIR / "iris" / "1"
# This order has rows of all classes, and of penguins one with missing values, among the few that are checked.
_SEED: Final = 11

Rows = list[list[Any]]
"""Values in the order of the columns; None where one is missing."""

Dtypes = Mapping[str, str] | None
"""The pandas dtypes of a data frame by column name; None for a matrix of float64."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs for the rows of a request."""

    prediction: list[Any]
    log_proba: list[list[float]]
    """Natural logarithms, one list per row."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The model that all systems load, and the data set that its rows are from."""

    model: Path
    data: Rows
    """All rows, in an arbitrary but fixed order."""
    dtypes: Dtypes
    outputs: Outputs
    """The outputs of the pipeline for `data`."""

    @classmethod
    def load(cls, model_dir: Path = MODEL_DIR) -> Self:
        """Load the pipeline of a recipe and its data set; train it if there is no artifact.

        Args:
            model_dir: `<models>/<recipe>/<version>`.

        Raises:
            CannotMeasure: the artifact is damaged or was made with another scikit-learn version.
        """
        recipe, models_dir = model_dir.parent.name, model_dir.parents[1]
        if not (model_dir / CARD_FILE).exists():
            command = [sys.executable, "-m", "training", recipe, "--models-dir", str(models_dir)]
            subprocess.run(command, cwd=ROOT, check=True)
        try:
            pipeline = load(model_dir)[1]
        except ArtifactError as error:
            raise CannotMeasure(str(error)) from error
        return cls.combine(model_dir / PIPELINE_FILE, pipeline, RECIPES[recipe].load().X)

    @classmethod
    def combine(cls, model: Path, pipeline: Any, data: Any) -> Self:
        """Combine a model with its data set, a float64 matrix or a pandas data frame."""
        order = np.random.default_rng(_SEED).permutation(len(data))
        if isinstance(data, np.ndarray):
            data, dtypes = data[order], None
            rows = data.tolist()
        else:
            data, dtypes = data.iloc[order], {str(name): str(dtype) for name, dtype in data.dtypes.items()}
            rows = data.astype(object).where(data.notna(), None).to_numpy().tolist()
        with np.errstate(divide="ignore"):  # the log of a zero probability
            outputs = Outputs(pipeline.predict(data).tolist(), pipeline.predict_log_proba(data).tolist())
        return cls(model, rows, dtypes, outputs)

    def rows(self, n_rows: int, first_row: int = 0) -> Rows:
        """Return the rows of a request: `n_rows` rows, beginning with row `first_row`."""
        return [self.data[number] for number in self._row_numbers(n_rows, first_row)]

    def expected_outputs(self, n_rows: int, first_row: int = 0) -> Outputs:
        """Return the outputs that the pipeline computes for these rows."""
        numbers = self._row_numbers(n_rows, first_row)
        prediction, log_proba = self.outputs.prediction, self.outputs.log_proba
        return Outputs([prediction[number] for number in numbers], [log_proba[number] for number in numbers])

    def requests(self, n_rows: int) -> list[Rows]:
        """Return as many requests as there are rows, each beginning with a different row."""
        return [self.rows(n_rows, first) for first in range(len(self.data))]

    def _row_numbers(self, n_rows: int, first_row: int) -> list[int]:
        return [number % len(self.data) for number in range(first_row, first_row + n_rows)]
