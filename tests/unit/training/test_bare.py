"""`python -m training card`: pipelines that were pickled elsewhere are served as they are, or refused with a remedy."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from shared.card import ModelCard, read_card
from shared.errors import CannotServe
from tests.preloaded import start as preloaded
from tests.stack import run_module
from training.bare import make_card
from training.recipes import RECIPES

IRIS = load_iris()


@pytest.fixture(scope="module")
def matrix_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that was fitted on an array without names."""
    path = tmp_path_factory.mktemp("bare") / "model.pkl"
    path.write_bytes(pickle.dumps(make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, IRIS.target)))
    return path


@pytest.fixture(scope="module")
def penguins_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that was fitted on a data frame."""
    recipe = RECIPES["penguins"]
    data = recipe.load()
    path = tmp_path_factory.mktemp("bare") / "penguins.joblib"
    joblib.dump(recipe.pipeline().fit(data.X, data.y), path)
    return path


@pytest.fixture
def carded(tmp_path: Path) -> Callable[..., ModelCard]:
    """Make the card of a file, and check that the file was copied."""

    def make(artifact: Path, **options: Any) -> ModelCard:
        model_dir = make_card(artifact, tmp_path / "models", name="bare", version="1", **options)
        assert (model_dir / "pipeline.joblib").read_bytes() == artifact.read_bytes()
        assert {path.name for path in model_dir.iterdir()} == {"card.json", "pipeline.joblib", "requirements.txt"}
        return read_card(model_dir)

    return make


def test_parquet_file_with_further_columns_describes_a_frame(
    carded: Callable[..., ModelCard], penguins_file: Path, tmp_path: Path
) -> None:
    data = RECIPES["penguins"].load()
    rows = tmp_path / "rows.parquet"
    data.X.assign(species=data.y).to_parquet(rows)
    card = carded(penguins_file, data=rows)
    assert card.input.kind == "table"
    assert [column.name for column in card.input.columns] == list(data.X.columns)
    assert card.data.rows == len(data.X)
    assert card.data.source == "rows.parquet"
    assert set(card.classes or ()) == set(data.y)


def test_csv_file_describes_a_matrix(carded: Callable[..., ModelCard], matrix_file: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    pd.DataFrame(IRIS.data, columns=["a", "b", "c", "d"]).to_csv(rows, index=False)
    card = carded(matrix_file, data=rows, nullable=["b"])
    assert card.input.kind == "matrix"
    assert [(column.name, column.nullable) for column in card.input.columns] == [
        ("a", False),
        ("b", True),
        ("c", False),
        ("d", False),
    ]
    assert card.input.columns[0].seen is not None


def test_csv_file_with_dtypes_describes_categories_and_datetimes(
    carded: Callable[..., ModelCard], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    frame = pd.DataFrame({"when": ["2024-01-05", "2024-02-07"] * 5, "kind": ["a", "b"] * 5, "n": range(10)})
    frame.to_csv(rows, index=False)
    typed = frame.astype({"when": "datetime64[ns]", "kind": "category"})
    features = FunctionTransformer(_numbers)
    artifact = tmp_path / "dates.joblib"
    joblib.dump(make_pipeline(features, LogisticRegression()).fit(typed, [0, 1] * 5), artifact)
    card = carded(artifact, data=rows, dtypes={"when": "datetime64[ns]", "kind": "category"})
    assert [column.type for column in card.input.columns] == ["datetime", "category", "int64"]


def _numbers(frame: Any) -> Any:
    return np.column_stack([frame["when"].dt.day, frame["kind"].cat.codes, frame["n"]])


def test_one_column_of_texts_describes_texts(carded: Callable[..., ModelCard], tmp_path: Path) -> None:
    texts = ["good", "bad", "very good", "very bad"]
    artifact, rows = tmp_path / "texts.joblib", tmp_path / "rows.csv"
    joblib.dump(make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0]), artifact)
    pd.DataFrame({"text": texts}).to_csv(rows, index=False)
    assert carded(artifact, data=rows).input.kind == "text"


def test_a_matrix_needs_no_data(carded: Callable[..., ModelCard], matrix_file: Path) -> None:
    card = carded(matrix_file)
    assert [column.name for column in card.input.columns] == ["x0", "x1", "x2", "x3"]
    assert all(column.seen is None for column in card.input.columns)
    assert card.data.rows == 0
    assert card.classes == (0, 1, 2)


def test_the_card_names_the_distributions_that_the_pickle_uses(
    carded: Callable[..., ModelCard], tmp_path: Path
) -> None:
    artifact = tmp_path / "scipy.joblib"
    joblib.dump(
        make_pipeline(FunctionTransformer(scipy.stats.zscore), LogisticRegression()).fit(*_numbers_of_iris()), artifact
    )
    rows = tmp_path / "rows.parquet"
    pd.DataFrame(IRIS.data, columns=["a", "b", "c", "d"]).to_parquet(rows)
    card = carded(artifact, data=rows)
    assert card.versions["scipy"] == scipy.__version__
    pins = (tmp_path / "models/bare/1/requirements.txt").read_text().splitlines()
    assert f"scipy=={scipy.__version__}" in pins
    assert f"scikit-learn=={sklearn.__version__}" in pins


def _numbers_of_iris() -> tuple[Any, Any]:
    return IRIS.data, IRIS.target


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"cno_such_module\nThing\n.", "needs the module no_such_module", id="module"),
        pytest.param(b"c__main__\nThing\n.", "move it to a module.*--code", id="script"),
        pytest.param(b"", "cannot be loaded", id="empty"),
        pytest.param(pickle.dumps([1] * 100)[:-20], "cannot be loaded", id="truncated"),
        pytest.param(pickle.dumps({"a": 1}), "a dict has no method that Sepal calls", id="no pipeline"),
    ],
)
def test_a_file_without_a_pipeline_is_refused(
    carded: Callable[..., ModelCard], tmp_path: Path, content: bytes, reason: str
) -> None:
    artifact = tmp_path / "model.pkl"
    artifact.write_bytes(content)
    with pytest.raises(CannotServe, match=reason):
        carded(artifact)
    assert not list(tmp_path.glob("models/*/*"))


def test_a_missing_file_is_refused(carded: Callable[..., ModelCard], tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match=r"model.pkl cannot be read"):
        carded(tmp_path / "model.pkl")


def test_a_pickle_of_another_scikit_learn_is_refused(
    carded: Callable[..., ModelCard], matrix_file: Path, tmp_path: Path
) -> None:
    artifact = tmp_path / "old.pkl"
    written = matrix_file.read_bytes()
    old = b"1.1" + sklearn.__version__.encode()[3:]
    artifact.write_bytes(written.replace(sklearn.__version__.encode(), old))
    with pytest.raises(CannotServe, match=rf"scikit-learn {old.decode()}.*install scikit-learn=={old.decode()}"):
        carded(artifact)


def test_columns_that_are_missing_or_unknown_are_asked_for(
    carded: Callable[..., ModelCard], penguins_file: Path, matrix_file: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    RECIPES["penguins"].load().X.drop(columns=["island", "sex"]).to_csv(rows, index=False)
    with pytest.raises(CannotServe, match="no column island, sex"):
        carded(penguins_file, data=rows)
    with pytest.raises(CannotServe, match=r"columns: island.*Give --data"):
        carded(penguins_file)
    with pytest.raises(CannotServe, match="takes 4 columns without names, the data has"):
        carded(matrix_file, data=rows)


@pytest.mark.parametrize(
    ("name", "dtypes", "reason"),
    [
        ("rows.txt", {}, "neither .csv nor .parquet"),
        ("absent.csv", {}, "absent.csv cannot be read"),
        ("rows.csv", {"a": "int64"}, "rows.csv cannot be read"),
        ("rows.csv", {"b": "int64"}, "rows.csv cannot be read"),
        ("rows.csv", {"a": "no-such-dtype"}, "rows.csv cannot be read"),
    ],
)
def test_data_that_cannot_be_read_is_refused(
    carded: Callable[..., ModelCard], matrix_file: Path, tmp_path: Path, name: str, dtypes: dict[str, str], reason: str
) -> None:
    (tmp_path / "rows.csv").write_text("a\nx\n")
    (tmp_path / "rows.txt").write_text("a\nx\n")
    with pytest.raises(CannotServe, match=reason):
        carded(matrix_file, data=tmp_path / name, dtypes=dtypes)


def test_the_command_line_writes_the_directory_that_is_served(matrix_file: Path, tmp_path: Path) -> None:
    arguments = ["card", matrix_file, "--name=bare", "--version=3"]
    done = run_module("training", *arguments, f"--models-dir={tmp_path}", python=preloaded.client())
    assert "make run MODEL=bare" in done.stdout
    assert read_card(tmp_path / "bare" / "3").version == "3"
    refused = run_module("training", *arguments, "--dtypes", "a", python=preloaded.client())
    assert refused.returncode == 1
    assert "--dtypes a is not COLUMN=DTYPE" in refused.stderr
