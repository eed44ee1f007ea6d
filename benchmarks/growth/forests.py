"""Makes the artifacts: a tiny tree, and forests of a hundred trees that are grown out on noise.

Their labels are drawn at random, so a tree has to take its rows apart nearly one by one: its size follows from theirs.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.tree import DecisionTreeClassifier

from benchmarks.serving.environments import FOLDER
from shared.card import PIPELINE_FILE, Data
from shared.errors import ArtifactError
from training.artifact import save
from worker.pool.artifact import verify

_COLUMNS: Final = 4  # so that the benchmark's one request fits
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one artifact is made of."""

    name: str
    trees: int
    rows: int

    @property
    def version(self) -> str:
        """One for each way to make it, so that what was made otherwise is made again."""
        return f"{self.trees}x{self.rows}"


RECIPES: Final = (Recipe("tree", 1, 8), Recipe("small-forest", 100, 1_560), Recipe("large-forest", 100, 78_600))


def build(recipe: Recipe) -> Path:
    """Make the artifact where it is missing, or was made with another scikit-learn; returns its path."""
    models_dir = FOLDER / "models"
    model_dir = models_dir / recipe.name / recipe.version
    try:
        verify(model_dir)
    except ArtifactError:
        print(f"{recipe.name}: growing {recipe.trees} trees on {recipe.rows:,} rows", flush=True)
        shutil.rmtree(model_dir, ignore_errors=True)
        rows = np.random.default_rng(_SEED).random((recipe.rows, _COLUMNS))
        save(
            _fit(recipe, rows),
            models_dir,
            name=recipe.name,
            version=recipe.version,
            features=[f"column {number}" for number in range(_COLUMNS)],
            example=rows[:1],
            data=Data(source="random numbers", rows=recipe.rows),
        )
    return model_dir / PIPELINE_FILE


def _fit(recipe: Recipe, rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Pipeline:
    labels = np.random.default_rng(_SEED + 1).integers(2, size=len(rows))
    if recipe.trees == 1:
        return make_pipeline(DecisionTreeClassifier(max_depth=1, random_state=_SEED)).fit(rows, labels)
    # Without resampling every row is in every tree; one column a split is the fastest way to grow them out.
    forest = RandomForestClassifier(recipe.trees, max_features=1, bootstrap=False, random_state=_SEED)
    return make_pipeline(forest).fit(rows, labels)
