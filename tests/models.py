"""Trains and saves the models that the tests serve."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from shared.card import ModelCard
from tests import pipelines
from tests.chaos.traffic import FEATURES
from training.__main__ import train
from training.artifact import save
from training.proof import ProofResult
from training.recipes import RECIPES


def train_recipe(models_dir: Path, name: str) -> Path:
    """Train a recipe of the package `training`."""
    return train(RECIPES[name], models_dir)


def train_once(models_dir: Path, name: str) -> Path:
    """Train a recipe in a folder that several processes share; the first of them does it."""
    with locked(models_dir / f"{name}.lock"):
        model_dir = models_dir / name / RECIPES[name].version
        return model_dir if model_dir.exists() else train_recipe(models_dir, name)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time into the context."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def save_pipeline(models_dir: Path, name: str, pipeline: Pipeline, rows: Any, columns: int) -> Path:
    """Save a pipeline that was fitted on a matrix as a model directory; a few rows are enough."""
    return save(
        pipeline,
        models_dir,
        name=name,
        version="1",
        X=np.asarray(rows, dtype=np.float64),
        source="the tests",
        columns=[f"column {number}" for number in range(columns)],
    )


def without_proof(_: Path, card: ModelCard, *__: Any) -> ProofResult:
    """Replace the proof, and report no error."""
    return ProofResult({}, card.outputs)


def save_misbehaving(models_dir: Path, estimator: pipelines.SignClassifier) -> Path:
    """Save a pipeline of `tests.pipelines` with two columns, without the proof, which some of them do not pass."""
    pipeline = make_pipeline(estimator).fit(np.zeros((1, 2)), [0])
    with patch("training.artifact.prove", without_proof):
        return save_pipeline(models_dir, type(estimator).__name__.lower(), pipeline, [[-1, 0], [0, 0]], columns=2)


def save_troublesome(models_dir: Path, pid_dir: Path) -> Path:
    """Save the pipeline of the chaos run; rows report the pid of their process in `pid_dir`."""
    pipeline = make_pipeline(pipelines.Troublesome(str(pid_dir))).fit(np.zeros((1, len(FEATURES))), [0])
    with patch("training.artifact.prove", without_proof):
        return save_pipeline(models_dir, "troublesome", pipeline, [[0, 0, 1], [0, 0, 2]], columns=len(FEATURES))


def fit_svc() -> tuple[Pipeline, Any]:
    """Return a classifier without probabilities, and its rows."""
    wine = load_wine()
    return make_pipeline(StandardScaler(), SVC()).fit(wine.data, wine.target), wine.data


def fit_regressor() -> tuple[Pipeline, Any]:
    """Return a regressor, and its rows."""
    iris = load_iris()
    return make_pipeline(StandardScaler(), LinearRegression()).fit(iris.data[:, :3], iris.data[:, 3]), iris.data[:, :3]


def fit_neighbours() -> tuple[Pipeline, Any]:
    """Return a classifier with `predict_proba`, without `predict_log_proba`, and with class names; and its rows."""
    iris = load_iris()
    names = np.array(["Infinity", "NaN", "virginica"])[iris.target]  # labels like the numbers that JSON lacks
    return make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(iris.data, names), iris.data
