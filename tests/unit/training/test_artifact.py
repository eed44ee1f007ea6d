"""Training: reproducible, atomic, and without overwriting a version."""

import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.tree import DecisionTreeClassifier

from shared.card import read_card
from shared.errors import ArtifactExists
from tests import pipelines
from tests.models import fit_regressor, save_misbehaving, save_pipeline
from tests.stack import ROOT, clean_environment
from training import artifact
from training.recipes import RECIPES


def run_training(recipe: str, models_dir: Path, hash_seed: str) -> str:
    command = [sys.executable, "-m", "training", recipe, "--models-dir", str(models_dir)]
    environment = clean_environment() | {"PYTHONHASHSEED": hash_seed}  # with what chooses the kernels of BLAS
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("recipe", sorted(RECIPES.keys() - {"digits-forest"}))  # 300 trees take a minute
def test_two_processes_write_the_same_card_and_print_a_report(
    recipe: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    report = run_training(recipe, tmp_path, "1")
    first = read_card(tmp_path / recipe / "1")
    assert first == read_card(request.getfixturevalue(f"{recipe.replace('-', '_')}_dir"))
    for word in ("accuracy", "log_loss", "baseline", "confusion matrix", "±", first.digest):
        assert word in report
    assert 0.9 < first.metrics["accuracy"].mean <= 1


def test_iris_pipeline_is_that_of_the_tutorial(iris_dir: Path) -> None:
    scale, classify = (step for _, step in joblib.load(iris_dir / "pipeline.joblib").steps)
    assert isinstance(scale, MinMaxScaler)
    assert isinstance(classify, DecisionTreeClassifier)
    assert classify.random_state == 42
    assert classify.tree_.n_node_samples[0] == len(load_iris().data)


def test_saving_the_same_pipeline_again_changes_no_file(tmp_path: Path) -> None:
    pipeline, rows = fit_regressor()
    model_dir = save_pipeline(tmp_path, "again", pipeline, rows[:1], 3)
    before = (model_dir / "pipeline.joblib").stat()
    assert save_pipeline(tmp_path, "again", pipeline, rows[:1], 3) == model_dir
    assert (model_dir / "pipeline.joblib").stat() == before


def test_other_pipeline_with_the_same_version_is_refused(tmp_path: Path) -> None:
    pipeline, rows = fit_regressor()
    model_dir = save_pipeline(tmp_path, "taken", pipeline, rows[:1], 3)
    other = make_pipeline(LogisticRegression()).fit(rows, rows[:, 0] > 5)
    before = read_card(model_dir)
    with pytest.raises(ArtifactExists, match="another version"):
        save_pipeline(tmp_path, "taken", other, rows[:1], 3)
    assert read_card(model_dir) == before


def test_failed_save_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> dict[str, str]:
        raise RuntimeError("disk full")

    monkeypatch.setattr(artifact, "_installed_versions", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        save_misbehaving(tmp_path, pipelines.SignClassifier())
    assert list(tmp_path.iterdir()) == []


def test_card_of_a_regressor_has_no_log_proba_and_no_classes(tmp_path: Path) -> None:
    pipeline, rows = fit_regressor()
    card = read_card(save_pipeline(tmp_path, "regressor", pipeline, rows[:1], 3))
    assert card.outputs == ("prediction",)
    assert card.classes is None


def test_iris_card_is_complete(iris_dir: Path) -> None:
    card = read_card(iris_dir)
    assert [column.name for column in card.input.columns] == load_iris().feature_names
    assert {column.type for column in card.input.columns} == {"float64"}
    assert card.classes == (0, 1, 2)
    assert card.outputs == ("prediction", "log_proba", "proba", "leaves")
    assert card.default_outputs == ("prediction", "log_proba")
    assert set(card.versions) == {"python", "numpy", "scikit-learn", "joblib"}
    assert card.data.rows == 150
    assert np.asarray(card.example).shape == (2, 4)
