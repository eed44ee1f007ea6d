"""`save` refuses models that would give other results when served, with the reason and a remedy."""

import sys
from datetime import date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import DBSCAN
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from shared.card import read_card
from shared.errors import CannotServe
from tests import pipelines
from training.artifact import save
from training.proof import MAX_ITEMS_PER_ROW
from training.sample import choose_proof_indices

X = np.random.default_rng(1).random((30, 2))
Y = np.tile([0, 1], 15)


def try_to_save(tmp_path: Path, pipeline: Any, rows: Any = X, **options: Any) -> Path:
    return save(pipeline, tmp_path, name="any", version="1", X=rows, source="the tests", **options)


def test_pipeline_without_an_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match=r"DBSCAN has no method .* such as predict.*whose last step predicts"):
        try_to_save(tmp_path, DBSCAN().fit(X))


class RaisesOnRequest(pipelines.SignClassifier):
    """Its probabilities are fine, and its scores are not."""

    def score_samples(self, rows: Any) -> Any:
        raise RuntimeError(f"no scores of {len(rows)} rows")

    def decision_function(self, rows: Any) -> Any:
        return np.full(len(rows), type, dtype=object)

    def transform(self, rows: Any) -> Any:
        return np.zeros((len(rows), MAX_ITEMS_PER_ROW + 1))

    def apply(self, rows: Any) -> Any:
        return np.zeros(len(rows) + 1)


def test_outputs_on_request_that_cannot_be_served_are_left_out_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="is left out") as caught:
        model_dir = try_to_save(tmp_path, RaisesOnRequest().fit(X, Y))
    assert read_card(model_dir).outputs == ("prediction", "log_proba", "proba")
    warnings = sorted(str(warning.message) for warning in caught)
    assert [warning.partition(":")[0] for warning in warnings] == [
        f"the output {output} is left out" for output in ("decision", "leaves", "scores", "transform")
    ]
    for warning, reason in zip(
        warnings, ("cannot be encoded", "number of rows", "no scores of", "more than"), strict=True
    ):
        assert reason in warning


class NumbersRowsOnRequest(pipelines.SignClassifier):
    """Its scores are the positions of the rows in the batch."""

    def score_samples(self, rows: Any) -> Any:
        return np.arange(len(rows), dtype=np.float64)


def test_output_on_request_that_depends_on_the_other_rows_is_left_out(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"scores is left out: .* depends on the other rows of its batch"):
        model_dir = try_to_save(tmp_path, NumbersRowsOnRequest().fit(X, Y))
    assert read_card(model_dir).outputs == ("prediction", "log_proba", "proba")


def test_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match=r"LogisticRegression is a class.*instance"):
        try_to_save(tmp_path, LogisticRegression)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"version": 1}, "the version 1 is not allowed.*Give a version as a string of letters"),
        ({"source": None}, "source: Input should be a valid string.*Give source as a string"),
        ({"metrics": {"accuracy": 0.9}}, r"metrics\.accuracy: .*Metric\(mean=0\.9, std=0\.02\)"),
        ({"metrics": {"accuracy": {"mean": np.nan, "std": 0.1}}}, r"metrics\.accuracy\.mean: .*finite number"),
    ],
)
def test_argument_of_another_type_is_refused(tmp_path: Path, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(CannotServe, match=reason):
        save(StandardScaler().fit(X), tmp_path, **{"name": "any", "version": "1", "X": X, "source": "any"} | arguments)
    assert list(tmp_path.iterdir()) == []


class OwnFrame(pd.DataFrame):  # type: ignore[misc]  # pandas is untyped
    """A subclass, as libraries have for data with more methods."""


def test_frame_of_a_subclass_is_a_frame(tmp_path: Path) -> None:
    frame = OwnFrame(X, columns=["a", "b"])
    model_dir = try_to_save(tmp_path, make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, Y), frame)
    assert [column.name for column in read_card(model_dir).input.columns] == ["a", "b"]


def test_configuration_of_this_process_is_named_if_serving_differs(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=["a", "b"])
    with config_context(transform_output="pandas"):
        pipeline = make_pipeline(StandardScaler(), make_column_transformer((StandardScaler(), ["b"]))).fit(frame)
        with pytest.raises(CannotServe, match=r"transform_output .*pipeline\.set_output\(transform=…\)"):
            try_to_save(tmp_path, pipeline, frame)
    try_to_save(tmp_path, pipeline.set_output(transform="pandas").fit(frame), frame)


def test_nan_of_numpy_is_a_nan(tmp_path: Path) -> None:
    frame = pd.DataFrame({"letter": pd.Series(["x", "y", np.float64("nan")] * 10, dtype=object)})
    try_to_save(tmp_path, make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, Y), frame)


def test_column_without_letters_in_its_name_is_saved(tmp_path: Path) -> None:
    frame = pl.DataFrame({"": X[:, 0], "b": X[:, 1]})
    try_to_save(tmp_path, make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, Y), frame)


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("us")])
def test_years_of_five_digits_are_refused(tmp_path: Path, dtype: Any) -> None:
    frame = pl.DataFrame({"day": pl.Series(["2026-01-31"] * 30).str.to_date(), "a": X[:, 0]})
    frame = frame.with_columns(pl.col("day").dt.offset_by("8000y").cast(dtype))
    pipeline = make_pipeline(make_column_transformer((StandardScaler(), ["a"])), LogisticRegression()).fit(frame, Y)
    with pytest.raises(CannotServe, match=r'"day" must be a date.*\+10026-01-31'):
        try_to_save(tmp_path, pipeline, frame)


def test_lambda_is_refused(tmp_path: Path) -> None:
    pipeline = make_pipeline(FunctionTransformer(lambda rows: rows), LinearRegression()).fit(X, Y)
    with pytest.raises(CannotServe, match=r"lambda.*Replace a lambda or local function"):
        try_to_save(tmp_path, pipeline)


def test_local_class_is_refused(tmp_path: Path) -> None:
    class Local(pipelines.SignClassifier):
        """Cannot be pickled."""

    with pytest.raises(CannotServe, match=r"Local.*Replace a lambda or local function"):
        try_to_save(tmp_path, Local().fit(X, Y))


def test_function_of_main_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def double(rows: Any) -> Any:
        return rows * 2

    double.__module__, double.__qualname__ = "__main__", "double"
    monkeypatch.setattr(sys.modules["__main__"], "double", double, raising=False)
    pipeline = make_pipeline(FunctionTransformer(double), LinearRegression()).fit(X, Y)
    with pytest.raises(CannotServe, match=r"new process cannot load.*'double'.*Move it to a module"):
        try_to_save(tmp_path, pipeline)


def test_class_of_a_module_that_only_this_process_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("only_here")
    double = type("Double", (pipelines.SignClassifier,), {"__module__": "only_here"})
    monkeypatch.setattr(module, "Double", double, raising=False)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(CannotServe, match=r"needs the module only_here.*give it to `save`") as caught:
        try_to_save(tmp_path, double().fit(X, Y))
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_rows_of_other_columns_are_refused(tmp_path: Path) -> None:
    pipeline = LinearRegression().fit(X, Y)
    with pytest.raises(CannotServe, match=r"raises on rows of the data: X has 1 features.*Give the data that"):
        try_to_save(tmp_path, pipeline, X[:, :1])
    named = LinearRegression().fit(pd.DataFrame(X, columns=["a", "b"]), Y)
    with pytest.raises(CannotServe, match=r"raises on rows of the data.*Give the data that it was fitted on"):
        try_to_save(tmp_path, named, pd.DataFrame(X, columns=["b", "a"]))


def test_date_that_no_client_can_send_is_refused(tmp_path: Path) -> None:
    rows = pd.DataFrame({"when": np.array(["10000-01-01", "2026-01-31"], dtype="datetime64[s]"), "x": [0.0, 1.0]})
    pipeline = make_pipeline(FunctionTransformer(pipelines.drop_when), LinearRegression()).fit(rows, [0, 1])
    with pytest.raises(CannotServe, match=r'not send the rows of the data: /data/0/0: "when" must be a date'):
        try_to_save(tmp_path, pipeline, rows)


class AnswersAtRandom(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Gives other labels in each process."""

    def fit(self, rows: Any, target: Any) -> "AnswersAtRandom":
        del rows
        self.classes_ = np.unique(target)
        return self

    def predict(self, rows: Any) -> Any:
        return np.random.default_rng().random(len(rows))


class ReturnsObjects(AnswersAtRandom):
    """Gives labels that JSON lacks."""

    def predict(self, rows: Any) -> Any:
        return np.full(len(rows), type, dtype=object)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            AnswersAtRandom,
            "in a new process the pipeline returns a different prediction.*same outputs for the same rows",
        ),
        (ReturnsObjects, "prediction cannot be encoded as JSON.*JSON has no type.*numbers, strings"),
    ],
)
def test_labels_that_cannot_be_served_are_refused(tmp_path: Path, model: type[AnswersAtRandom], reason: str) -> None:
    with pytest.raises(CannotServe, match=reason):
        try_to_save(tmp_path, model().fit(X, Y))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "function", [pipelines.standardize_batch, pipelines.sort_batch, pipelines.number_batch, pipelines.refuse_single_row]
)
@pytest.mark.parametrize("model", [LinearRegression(), DecisionTreeClassifier()])
def test_pipeline_whose_results_depend_on_the_other_rows_is_refused(tmp_path: Path, function: Any, model: Any) -> None:
    """Otherwise a client's results would depend on the rows of other clients that share its batch."""
    pipeline = make_pipeline(FunctionTransformer(function), model).fit(X, X[:, 0] > 0.5)
    reason = r"(of a row depends on the other rows of its batch|on one row alone: .*two rows).*every row by itself"
    with pytest.raises(CannotServe, match=reason):
        try_to_save(tmp_path, pipeline)


@pytest.mark.parametrize("model", [LinearRegression(), LogisticRegression()])
def test_pipeline_that_writes_into_its_rows_is_saved(tmp_path: Path, model: Any) -> None:
    labels = X[:, 0] > 0.5
    for number, step in enumerate((StandardScaler(copy=False), FunctionTransformer(pipelines.cap_in_place))):
        rows = X.copy()
        try_to_save(tmp_path / f"{number}", make_pipeline(step, model).fit(X.copy(), labels), rows)
        assert (rows == X).all()
    frame = pd.DataFrame(X, columns=["a", "b"])
    pipeline = make_pipeline(FunctionTransformer(pipelines.pop_first_column), model).fit(frame.copy(), labels)
    try_to_save(tmp_path / "frame", pipeline, frame)
    assert list(frame) == ["a", "b"]


def test_missing_values_that_come_out_are_saved(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", None] * 15, "number": X[:, 0]})
    pipeline = make_column_transformer(("passthrough", ["text"]), (StandardScaler(), ["number"])).fit(frame)
    assert read_card(try_to_save(tmp_path, pipeline, frame)).outputs == ("transform",)


def test_pipeline_that_returns_too_many_numbers_is_refused_with_the_limit(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match=r"^the pipeline returns more than 10000 numbers for each row.*fewer"):
        try_to_save(tmp_path, HashingVectorizer().fit(["a"]), ["a b", "c"] * 5)


def test_name_of_the_categories_does_not_matter(tmp_path: Path) -> None:
    """As `value_counts` gives one to its index."""
    frame = pd.DataFrame({"letter": ["x", "y", "x"] * 10})
    frame["letter"] = pd.Categorical(frame["letter"], categories=frame["letter"].value_counts().index)
    pipeline = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, Y)
    assert read_card(try_to_save(tmp_path, pipeline, frame)).input.columns[0].name == "letter"


def test_pipeline_that_ends_in_passthrough_is_saved(tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), "passthrough").fit(X)
    assert read_card(try_to_save(tmp_path, pipeline)).outputs == ("transform",)


class ListsClasses(pipelines.SignClassifier):
    """Has a list of classes instead of an array."""

    def fit(self, rows: Any, target: Any) -> Any:
        del rows, target
        self.classes_: Any = [0, 1]
        return self


def test_classes_in_a_list_are_written(tmp_path: Path) -> None:
    assert read_card(try_to_save(tmp_path, ListsClasses().fit(X, Y))).classes == (0, 1)


def test_classes_are_written_as_they_come_out(tmp_path: Path) -> None:
    days = np.array(["2026-01-31", "2026-02-01"], dtype="datetime64[D]")[Y]
    card = read_card(try_to_save(tmp_path, DecisionTreeClassifier().fit(X, days)))
    assert card.classes == ("2026-01-31", "2026-02-01")


class PredictsDates(pipelines.SignClassifier):
    """Its classes are objects that JSON lacks, and that have an ISO 8601 text."""

    def __init__(self, classes: Any) -> None:
        self.classes = classes

    def fit(self, rows: Any, target: Any) -> Any:
        super().fit(rows, target)
        self.classes_ = np.array(self.classes, dtype=object)
        return self

    def predict(self, rows: Any) -> Any:
        return self.classes_[super().predict(rows)]


@pytest.mark.parametrize(
    "values", [[date(2026, 1, 31), date(2026, 2, 1)], [datetime(2026, 1, 31, 12), datetime(2026, 2, 1)]]
)
def test_dates_as_classes_are_written_in_iso_8601(tmp_path: Path, values: list[date]) -> None:
    card = read_card(try_to_save(tmp_path, PredictsDates(values).fit(X, Y)))
    assert card.classes == tuple(value.isoformat() for value in values)


def test_classes_of_several_targets_are_written_for_each(tmp_path: Path) -> None:
    targets = np.column_stack([Y, np.array(["a", "b", "c"])[Y + 1]])
    card = read_card(try_to_save(tmp_path, DecisionTreeClassifier().fit(X, targets)))
    assert card.classes == (("0", "1"), ("b", "c"))


def test_classes_that_json_lacks_are_refused(tmp_path: Path) -> None:
    model = pipelines.SignClassifier().fit(X, Y)
    model.classes_ = np.array([1j, 2j], dtype=object)
    with pytest.raises(CannotServe, match=r"a class is a complex.*strings, numbers, booleans, dates"):
        try_to_save(tmp_path, model)


def test_proof_has_few_rows_and_some_with_each_missing_value() -> None:
    missing = np.zeros((100_000, 20), dtype=bool)
    missing[np.arange(20) + 77, np.arange(20)] = True
    missing[:, 3] = True
    missing[54_321, 3] = False
    indices = choose_proof_indices(missing)
    assert len(indices) <= 300
    assert missing[indices].any(axis=0).all()
    assert not missing[indices].all(axis=0).any()
    wide = np.zeros((10_000, 1000), dtype=bool)
    wide[np.arange(1000), np.arange(1000)] = True
    assert len(choose_proof_indices(wide)) <= 300
