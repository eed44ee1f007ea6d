"""`python -m training card`: pipelines pickled by other programs are served unchanged, or refused with a remedy."""

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.special
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from shared.card import ModelCard, read_card
from shared.errors import CannotServe
from tests.preloaded import start as preloaded
from tests.stack import run_module
from training.artifact import save
from training.pipeline_file import save_pipeline_file
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
        model_dir, _ = save_pipeline_file(artifact, tmp_path / "models", name="bare", version="1", **options)
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


def test_csv_file_describes_a_matrix(carded: Callable[..., ModelCard], tmp_path: Path) -> None:
    rows, tree = tmp_path / "rows.csv", tmp_path / "tree.joblib"
    pd.DataFrame(IRIS.data, columns=["a", "b", "c", "d"]).to_csv(rows, index=False)
    joblib.dump(DecisionTreeClassifier().fit(IRIS.data, IRIS.target), tree)  # takes missing values
    card = carded(tree, data=rows, nullable=["b"])
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
    with pytest.raises(
        CannotServe, match=r"raises on rows of the data: .*[^.]\. .*--dtypes island=category .*=datetime64"
    ):
        carded(artifact, data=rows)
    assert not list(tmp_path.glob("models/*"))
    card = carded(artifact, data=rows, dtypes={"when": "datetime", "kind": "category"})
    assert [(column.type, column.dtype) for column in card.input.columns] == [
        ("datetime", "datetime64[ns]"),
        ("category", "category"),
        ("int64", "int64"),
    ]


def _numbers(frame: Any) -> Any:
    return np.column_stack([frame["when"].dt.day, frame["kind"].cat.codes, frame["n"]])


def test_one_column_of_texts_describes_texts(carded: Callable[..., ModelCard], tmp_path: Path) -> None:
    texts = ["good", "bad", "very good", "very bad"]
    artifact, rows = tmp_path / "texts.joblib", tmp_path / "rows.csv"
    joblib.dump(make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0]), artifact)
    pd.DataFrame({"text": texts}).to_csv(rows, index=False)
    assert carded(artifact, data=rows).input.kind == "text"


class Incomes(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Takes a data frame, but does not record the names of its columns, as many transformers of teams do not."""

    def __init__(self, *, counts: bool = False) -> None:
        self.counts = counts

    def fit(self, rows: Any, target: Any = None) -> "Incomes":
        del target
        if self.counts:
            self.n_features_in_ = len(rows.columns)
        return self

    def transform(self, rows: Any) -> Any:
        return rows[["income"]].to_numpy()


@pytest.fixture
def incomes(tmp_path: Path) -> tuple[Path, Path]:
    """A pipeline that does not name its columns, and the data that it was fitted on with the target."""
    artifact, rows = tmp_path / "incomes.joblib", tmp_path / "rows.parquet"
    frame = pd.DataFrame({"income": [1.0, 2.0, 3.0, 4.0], "city": ["a", "b"] * 2})
    joblib.dump(make_pipeline(Incomes(), LogisticRegression()).fit(frame, [0, 0, 1, 1]), artifact)
    frame.assign(churned=[0, 0, 1, 1]).to_parquet(rows)
    return artifact, rows


def test_pipeline_that_names_no_columns_takes_those_that_are_given(
    carded: Callable[..., ModelCard], incomes: tuple[Path, Path]
) -> None:
    artifact, rows = incomes
    with pytest.raises(CannotServe, match="no column town"):
        carded(artifact, data=rows, columns=["income", "town"])
    card = carded(artifact, data=rows, columns=["income", "city"])
    assert [(column.name, column.type) for column in card.input.columns] == [("income", "float64"), ("city", "string")]


@pytest.mark.parametrize(
    ("options", "printed"), [((), "income city churned"), (["--columns", "income,city"], "income city")]
)
def test_columns_are_printed_and_taking_all_of_them_is_said(
    incomes: tuple[Path, Path], tmp_path: Path, options: Sequence[str], printed: str
) -> None:
    artifact, rows = incomes
    arguments = ["card", artifact, "--data", rows, "--name=bare", "--version=1", f"--models-dir={tmp_path / 'models'}"]
    done = run_module("training", *arguments, *options, python=preloaded.client())
    assert re.findall(r"(?m)^  (\w+): ", done.stdout) == printed.split(), done.stderr
    is_said = "all of rows.parquet, because the pipeline names none" in done.stdout and "--columns" in done.stdout
    assert is_said == (not options)


def test_pipeline_that_only_counts_its_columns_may_take_a_frame(
    carded: Callable[..., ModelCard], tmp_path: Path
) -> None:
    artifact, rows = tmp_path / "counts.joblib", tmp_path / "rows.parquet"
    frame = pd.DataFrame({"income": [1.0, 2.0, 3.0, 4.0], "age": [30, 40, 50, 60]})
    joblib.dump(make_pipeline(Incomes(counts=True), LogisticRegression()).fit(frame, [0, 0, 1, 1]), artifact)
    frame.to_parquet(rows)
    assert carded(artifact, data=rows).input.kind == "table"


def test_a_matrix_needs_no_data(carded: Callable[..., ModelCard], matrix_file: Path) -> None:
    card = carded(matrix_file)
    assert [column.name for column in card.input.columns] == ["x0", "x1", "x2", "x3"]
    assert all(column.seen is None for column in card.input.columns)
    assert card.data.rows == 0
    assert card.classes == (0, 1, 2)
    assert all(value == round(value, 2) for row in card.example for value in row if isinstance(value, float))


def test_the_card_names_the_distributions_that_the_pickle_uses(
    carded: Callable[..., ModelCard], tmp_path: Path
) -> None:
    artifact = tmp_path / "scipy.joblib"
    joblib.dump(
        make_pipeline(FunctionTransformer(scipy.special.expit), LogisticRegression()).fit(*_numbers_of_iris()), artifact
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
    with pytest.raises(CannotServe, match=r"takes 4 columns without names, the data has .* --columns a,b"):
        carded(matrix_file, data=rows)


@pytest.mark.parametrize(
    ("name", "dtypes", "reason"),
    [
        ("rows.txt", {}, "neither .csv nor .parquet"),
        ("absent.csv", {}, "absent.csv cannot be read"),
        ("rows.csv", {"a": "int64"}, "rows.csv cannot be read"),
        ("rows.csv", {"b": "int64"}, "rows.csv cannot be read"),
        ("rows.csv", {"a": "no-such-dtype"}, r"rows.csv cannot be read.*signed_up=datetime64\[ns\]"),
    ],
)
def test_data_that_cannot_be_read_is_refused(
    carded: Callable[..., ModelCard], matrix_file: Path, tmp_path: Path, name: str, dtypes: dict[str, str], reason: str
) -> None:
    (tmp_path / "rows.csv").write_text("a\nx\n")
    (tmp_path / "rows.txt").write_text("a\nx\n")
    with pytest.raises(CannotServe, match=reason):
        carded(matrix_file, data=tmp_path / name, dtypes=dtypes)


@pytest.mark.parametrize(
    ("name", "version"),
    [("Churn", "1"), ("my churn", "1"), ("../x", "1"), ("churn", "v 2"), ("churn", ".."), ("churn", "1\n")],
)
def test_a_name_that_is_not_allowed_is_refused_before_anything_is_made(
    tmp_path: Path, matrix_file: Path, name: str, version: str
) -> None:
    models = tmp_path / "models" / "deep"
    with pytest.raises(CannotServe, match=r"is not allowed. Give a (name|version) as a string of .*letters"):
        save_pipeline_file(matrix_file, models, name=name, version=version)
    with pytest.raises(CannotServe, match="is not allowed"):
        save(joblib.load(matrix_file), models, name=name, version=version, X=IRIS.data, source="the tests")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_writes_the_directory_that_is_served(matrix_file: Path, tmp_path: Path) -> None:
    arguments = ["card", matrix_file, "--name=bare", "--version=3"]
    done = run_module("training", *arguments, f"--models-dir={tmp_path}", python=preloaded.client())
    assert "make run MODEL=bare/3\n" in done.stdout
    assert read_card(tmp_path / "bare" / "3").version == "3"
    refused = run_module("training", *arguments, "--dtypes", "a", python=preloaded.client())
    assert refused.returncode == 1
    assert "--dtypes a is not COLUMN=DTYPE" in refused.stderr
