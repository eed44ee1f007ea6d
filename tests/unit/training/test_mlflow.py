"""`python -m training import-mlflow`: models that MLflow wrote become model directories, or are refused."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
from sklearn.datasets import load_iris

from shared.card import ModelCard, read_card
from tests.preloaded import start as preloaded
from tests.stack import run_module

IRIS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
Import = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python() -> Iterator[list[str]]:
    """Runs modules in processes that have imported MLflow too."""
    with (
        patch.dict(os.environ, MLFLOW_DISABLE_TELEMETRY="true"),  # read when it is imported
        preloaded.running_server("mlflow.sklearn", python=preloaded.client()) as client,
    ):
        yield client


@pytest.fixture
def run(tmp_path: Path, python: list[str]) -> Import:
    """Run the command on a model, which becomes `any/1`."""

    def run_command(
        model: Path | str, *options: str, python: Sequence[str] = python
    ) -> subprocess.CompletedProcess[str]:
        arguments = ["import-mlflow", model, "--name=any", "--version=1", *options]
        return run_module("training", *arguments, cwd=tmp_path, python=python)

    return run_command


@pytest.fixture
def imported(tmp_path: Path, run: Import) -> Callable[..., tuple[ModelCard, str]]:
    """Import a model; return its card and what the command printed."""

    def import_model(model: Path | str, *options: str) -> tuple[ModelCard, str]:
        done = run(model, *options)
        assert done.returncode == 0, done.stderr
        return read_card(tmp_path / "models" / "any" / "1"), done.stdout

    return import_model


def test_input_example_describes_the_columns(
    imported: Callable[..., tuple[ModelCard, str]], mlflow_models: Path
) -> None:
    card, printed = imported(mlflow_models / "example")
    assert [column.name for column in card.input.columns] == IRIS
    assert card.data.rows == 0  # an example says nothing of the data
    assert "guessed from the input example (3 rows)" in printed
    assert "petal width (cm): float64\n" in printed
    assert "records no categories" in printed
    assert "make run MODEL=any/1" in printed


def test_signature_of_numbers_describes_the_columns_of_a_file_of_skops(
    imported: Callable[..., tuple[ModelCard, str]], mlflow_models: Path
) -> None:
    card, printed = imported((mlflow_models / "signature").as_uri())
    assert card.artifact == "pipeline.skops"
    assert [column.name for column in card.input.columns] == IRIS
    assert "guessed from the signature (the rows of the proof are random numbers)" in printed


def test_tensor_signature_describes_a_matrix(
    imported: Callable[..., tuple[ModelCard, str]], mlflow_models: Path
) -> None:
    card, _ = imported(mlflow_models / "tensor")
    assert card.input.kind == "matrix"
    assert len(card.input.columns) == len(IRIS)


def test_pipeline_of_an_array_needs_no_signature(
    imported: Callable[..., tuple[ModelCard, str]], mlflow_models: Path
) -> None:
    card, printed = imported(mlflow_models / "bare")
    assert len(card.input.columns) == len(IRIS)
    assert "neither an input example nor a signature" in printed


def test_optional_column_may_be_missing(imported: Callable[..., tuple[ModelCard, str]], mlflow_models: Path) -> None:
    card, printed = imported(mlflow_models / "texts-example")
    (column,) = card.input.columns
    assert (column.type, column.nullable) == ("string", True)
    assert "island: string, may be missing" in printed


def test_code_paths_become_own_code(imported: Callable[..., tuple[ModelCard, str]], mlflow_models: Path) -> None:
    card, _ = imported(mlflow_models / "code")
    assert {"code/own_features.py", "code/own_package/factor.txt"} <= card.files.keys()


def test_run_and_registered_model_are_found(
    imported: Callable[..., tuple[ModelCard, str]], mlflow_models: Path, tmp_path: Path
) -> None:
    store = f"--tracking-uri={(mlflow_models / 'mlruns').as_uri()}"
    first, _ = imported(f"runs:/{(mlflow_models / 'run').read_text()}/model", store)
    (tmp_path / "mlruns").symlink_to(mlflow_models / "mlruns")  # found without the option
    second, _ = imported("models:/churn/1", f"--models-dir={tmp_path / 'others'}")
    assert second.digest == first.digest
    assert first.data.source.startswith("MLflow: runs:/")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("names", "columns cannot be read from it.*Give --data"),
        ("texts", "columns cannot be read from it.*Give --data"),
        ("other", "has no scikit-learn flavour, but: xgboost.*Load it with MLflow"),
        ("src", "is not an MLflow model: it has no file MLmodel"),
        ("absent", "there is no folder"),
    ],
)
def test_model_of_which_more_must_be_known_is_refused(
    run: Import, mlflow_models: Path, model: str, reason: str
) -> None:
    refused = run(mlflow_models / model)
    assert refused.returncode == 1
    assert re.search(reason, refused.stderr), refused.stderr


def test_unknown_run_is_refused_with_the_option_that_helps(run: Import, mlflow_models: Path) -> None:
    refused = run("models:/churn/9", f"--tracking-uri={(mlflow_models / 'mlruns').as_uri()}")
    assert refused.returncode == 1
    assert re.search(r"MLflow cannot find the model models:/churn/9 .*give --tracking-uri", refused.stderr), (
        refused.stderr
    )


def test_signature_selects_from_data_with_further_columns(
    imported: Callable[..., tuple[ModelCard, str]], mlflow_models: Path, tmp_path: Path
) -> None:
    data = load_iris(as_frame=True).frame
    data.to_parquet(tmp_path / "rows.parquet")
    card, printed = imported(mlflow_models / "unnamed", f"--data={tmp_path / 'rows.parquet'}")
    assert [column.name for column in card.input.columns] == IRIS
    assert "columns, as the model's signature or input example names them:" in printed


def test_data_base_of_mlflow_is_refused_with_what_works(run: Import) -> None:
    refused = run("models:/churn/1")  # in a folder without runs, where MLflow makes a data base
    assert refused.returncode == 1
    assert "cannot read the database of MLflow, sqlite:" in refused.stderr
    assert "mlruns/0/models/m-…/artifacts" in refused.stderr
    assert "-m pip install sqlalchemy alembic;" in refused.stderr


def test_missing_mlflow_is_named_with_the_command_that_installs_it(
    run: Import, mlflow_models: Path, tmp_path: Path
) -> None:
    (tmp_path / "mlflow.py").write_text("raise ModuleNotFoundError('No module named mlflow')")
    # A process that has not imported MLflow finds this module in the current folder first.
    refused = run(mlflow_models / "bare", python=[sys.executable, "-m"])
    assert refused.returncode == 1
    assert f"{sys.executable} -m pip install mlflow-skinny." in refused.stderr
