"""Builds the artifacts: a tiny tree, and two forests of 100 fully grown trees.

The labels are random, so a tree separates almost every row: its size is proportional to the number of rows.
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
from shared.card import PIPELINE_FILE
from shared.errors import ArtifactError
from training.artifact import save
from worker.pool.artifact import verify

_N_COLUMNS: Final = 4  # as in the rows of benchmarks.serving.workload
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parameters of one artifact."""

    name: str
    trees: int
    rows: int

    @property
    def version(self) -> str:
        """The version, which contains the parameters, so that an artifact with others is built again."""
        return f"{self.trees}x{self.rows}"


RECIPES: Final = (Recipe("tree", 1, 8), Recipe("small-forest", 100, 1_560), Recipe("large-forest", 100, 78_600))


def build(recipe: Recipe) -> Path:
    """Return the artifact's path; build it if it is missing or was made with another scikit-learn version."""
    models_dir = FOLDER / "models"
    model_dir = models_dir / recipe.name / recipe.version
    try:
        verify(model_dir)
    except ArtifactError:
        print(f"{recipe.name}: training {recipe.trees} trees on {recipe.rows:,} rows", flush=True)
        shutil.rmtree(model_dir, ignore_errors=True)
        rows = np.random.default_rng(_SEED).random((recipe.rows, _N_COLUMNS))
        save(
            _fit(recipe, rows),
            models_dir,
            name=recipe.name,
            version=recipe.version,
            X=rows,
            source="random numbers",
        )
    return model_dir / PIPELINE_FILE


def _fit(recipe: Recipe, rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Pipeline:
    labels = np.random.default_rng(_SEED + 1).integers(2, size=len(rows))
    if recipe.trees == 1:
        return make_pipeline(DecisionTreeClassifier(max_depth=1, random_state=_SEED)).fit(rows, labels)
    # Without bootstrap every tree has every row; one candidate column per split makes training fast.
    forest = RandomForestClassifier(recipe.trees, max_features=1, bootstrap=False, random_state=_SEED)
    return make_pipeline(forest).fit(rows, labels)
