"""A pipeline is evaluated once, or with separate calls if the one evaluation differs."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # makes the halving searches importable
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from structlog.testing import capture_logs

from shared.names import Output
from tests.pipelines import CountsCalls, SignClassifier
from worker.pool import one_evaluation
from worker.pool.evaluation import Evaluator, _describe_difference
from worker.pool.outputs import WantedRows

Array = NDArray[Any]

ROWS = np.random.default_rng(1).uniform(size=(60, 3))
TARGET = np.arange(60) % 3
GRID = {"max_depth": [1, 2]}
PAIR = (Output.PREDICTION, Output.LOG_PROBA)
ALL_ROWS: WantedRows = dict.fromkeys(PAIR)


class CountingTree(DecisionTreeClassifier):  # type: ignore[misc]  # scikit-learn is untyped
    """Counts its evaluations; its place in the table is made by a test."""

    evaluations = 0

    def predict_proba(self, X: Any, check_input: bool = True) -> Any:  # scikit-learn's name
        self.evaluations += 1
        return super().predict_proba(X, check_input)


def equal_plain_outputs(evaluation: Evaluator, pipeline: Any, rows: Any) -> bool:
    with np.errstate(divide="ignore"):
        expected = {
            Output.PREDICTION: np.asarray(pipeline.predict(rows)),
            Output.LOG_PROBA: np.asarray(pipeline.predict_log_proba(rows)),
        }
    return _describe_difference(expected, evaluation(rows, ALL_ROWS)) is None


def searches(model: Any) -> list[Any]:
    return [
        GridSearchCV(model, GRID, cv=2),
        RandomizedSearchCV(model, GRID, n_iter=1, cv=2),
        HalvingGridSearchCV(model, GRID, cv=2),
        HalvingRandomSearchCV(model, GRID, n_candidates=2, cv=2),
    ]


@pytest.mark.parametrize("search", searches(DecisionTreeClassifier()), ids=lambda search: type(search).__name__)
def test_search_is_evaluated_as_the_model_it_found(search: Any) -> None:
    pipeline = make_pipeline(StandardScaler(), search).fit(ROWS, TARGET)
    evaluation = Evaluator(pipeline, PAIR)
    assert evaluation._final is pipeline[-1].best_estimator_
    assert equal_plain_outputs(evaluation, pipeline, ROWS)


def test_search_that_kept_no_model_is_not_split() -> None:
    search = GridSearchCV(DecisionTreeClassifier(), GRID, cv=2, refit=False).fit(ROWS, TARGET)
    assert Evaluator(search, PAIR)._final is search


def test_rows_are_transformed_once_in_nested_pipelines_and_searches() -> None:
    outer, inner = CountsCalls(), CountsCalls()
    nested = make_pipeline(inner, "passthrough", GridSearchCV(DecisionTreeClassifier(), GRID, cv=2))
    pipeline = make_pipeline(outer, None, nested).fit(ROWS, TARGET)
    evaluation = Evaluator(pipeline, PAIR)
    calls = outer.calls, inner.calls
    evaluation(ROWS, ALL_ROWS)
    assert (outer.calls, inner.calls) == (calls[0] + 1, calls[1] + 1)
    assert equal_plain_outputs(evaluation, pipeline, ROWS)


class ResamplingPipeline(Pipeline):  # type: ignore[misc]  # scikit-learn is untyped
    """Like imbalanced-learn's Pipeline: some steps are not transforms."""


def test_subclass_of_pipeline_is_not_split() -> None:
    pipeline = ResamplingPipeline([("tree", DecisionTreeClassifier())]).fit(ROWS, TARGET)
    assert Evaluator(pipeline, PAIR)._final is pipeline


def test_model_in_the_table_is_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(one_evaluation._EVALUATIONS, f"{__name__}.CountingTree", one_evaluation.evaluate_by_argmax)
    model = CountingTree().fit(ROWS, TARGET)
    Evaluator(model, PAIR)(ROWS, ALL_ROWS)
    assert model.evaluations == 1


def test_log_probabilities_are_computed_only_if_asked_for() -> None:
    model = CountingTree().fit(ROWS, TARGET)
    outputs = Evaluator(model, PAIR)(ROWS, {Output.PREDICTION: None})
    assert {output: np.asarray(values).tolist() for output, values in outputs.items()} == {
        "prediction": TARGET.tolist()
    }
    assert model.evaluations == 0


def lies_about_labels(model: Any, rows: Any) -> tuple[Array, Array]:
    labels, log_proba = one_evaluation.evaluate_by_argmax(model, rows)
    return labels[::-1], log_proba


def lies_in_the_last_bit(model: Any, rows: Any) -> tuple[Array, Array]:
    labels, log_proba = one_evaluation.evaluate_by_argmax(model, rows)
    return labels, np.nextafter(log_proba, 1)


def loses_precision(model: Any, rows: Any) -> tuple[Array, Array]:
    labels, log_proba = one_evaluation.evaluate_by_argmax(model, rows)
    return labels, log_proba.astype(np.float32)


def raises(model: Any, rows: Any) -> tuple[Array, Array]:
    raise LookupError(model, rows)


@pytest.mark.parametrize("lie", [lies_about_labels, lies_in_the_last_bit, loses_precision, raises])
def test_wrong_evaluation_is_found_and_not_used(monkeypatch: pytest.MonkeyPatch, lie: Any) -> None:
    monkeypatch.setitem(one_evaluation._EVALUATIONS, "sklearn.ensemble.RandomForestClassifier", lie)
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=1)).fit(ROWS, TARGET)
    evaluation = Evaluator(pipeline, PAIR)
    with capture_logs() as lines:
        evaluation.prove_one_evaluation(ROWS[:5])
    assert [line["step"] for line in lines] == ["RandomForestClassifier"]
    assert equal_plain_outputs(evaluation, pipeline, ROWS)


@pytest.mark.parametrize("model", [RandomForestClassifier(3), SignClassifier()])
def test_right_evaluation_is_proved_without_a_log_line(model: Any) -> None:
    evaluation = Evaluator(make_pipeline(model).fit(ROWS, TARGET), PAIR)
    with capture_logs() as lines:
        evaluation.prove_one_evaluation(ROWS[:5])
    assert lines == []


@pytest.mark.filterwarnings("ignore")  # overflow
def test_nan_equals_nan_in_the_proof() -> None:
    evaluation = Evaluator(GaussianNB().fit(ROWS, TARGET), PAIR)
    rows = np.full((1, 3), 1e200)
    assert "nan" in str(evaluation(rows, ALL_ROWS)[Output.LOG_PROBA])
    with capture_logs() as lines:
        evaluation.prove_one_evaluation(rows)
    assert lines == []


def test_proof_raises_what_the_pipeline_raises() -> None:
    evaluation = Evaluator(DecisionTreeClassifier().fit(ROWS, TARGET), PAIR)
    with pytest.raises(ValueError, match="features"):
        evaluation.prove_one_evaluation(ROWS[:, :2])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_rows_may_be_a_data_frame(frame: Any) -> None:
    rows = frame({"a": ROWS[:, 0], "b": ROWS[:, 1]})
    columns = make_column_transformer((StandardScaler(), ["a"]), remainder="passthrough").set_output(transform="pandas")
    pipeline = make_pipeline(columns, RandomForestClassifier(3, random_state=1)).fit(rows, TARGET)
    evaluation = Evaluator(pipeline, PAIR)
    evaluation.prove_one_evaluation(rows)
    assert equal_plain_outputs(evaluation, pipeline, rows)


def test_rows_may_be_texts() -> None:
    texts = ["red apple", "green pear", "red pear", "green apple"]
    pipeline = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, ["a", "p", "p", "a"])
    assert equal_plain_outputs(Evaluator(pipeline, PAIR), pipeline, texts)


class FrameOutputs(SignClassifier):
    """Returns pandas objects, with probabilities in single precision."""

    def predict(self, rows: Array) -> Any:
        return pd.Series(super().predict(rows))

    def predict_proba(self, rows: Array) -> Any:
        return pd.DataFrame(super().predict_proba(rows).astype(np.float32))


def test_outputs_are_arrays_of_the_same_type() -> None:
    outputs = Evaluator(FrameOutputs().fit(ROWS, TARGET), PAIR)(ROWS, ALL_ROWS)
    assert [type(values) for values in outputs.values()] == [np.ndarray, np.ndarray]
    assert [np.asarray(values).dtype.name for values in outputs.values()] == ["int64", "float32"]
