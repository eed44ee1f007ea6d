"""Transforms that are called one by one return what the pipeline's own methods return, in the same layout."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from structlog.testing import capture_logs

from shared.names import Output
from worker.pool.evaluation import Evaluator
from worker.pool.outputs import WantedRows
from worker.pool.transforms import ColumnBranches, RowCountChanged, apply_transforms, flatten_transforms

N = 40
PANDAS = pd.DataFrame(
    {
        "a": np.linspace(-1, 1, N) ** 3,
        "island": ["north", "south", None, "west"] * (N // 4),
        "b": [1.5, np.nan, -2.0, 0.25] * (N // 4),
        "note": ["short words", "long words", "no words at all", "short"] * (N // 4),
        "n": np.arange(N),
    }
)
POLARS = pl.from_pandas(PANDAS)
MATRIX = np.column_stack([np.linspace(-1, 1, N) ** 3, np.arange(N) % 7, np.arange(N) ** 0.5])
Y = np.arange(N) % 2
ENCODER = make_pipeline(OneHotEncoder(handle_unknown="ignore"))

OVER_FRAMES: dict[str, Any] = {
    "pipelines by name": make_column_transformer((ENCODER, ["island"]), (make_pipeline(StandardScaler()), ["b", "a"])),
    "a column that is a Series": make_column_transformer((TfidfVectorizer(), "note"), (StandardScaler(), ["a"])),
    "a sparse result": make_column_transformer((TfidfVectorizer(), "note"), (OneHotEncoder(), ["n"])),
    "columns by position": make_column_transformer((StandardScaler(), [4, 0]), ("passthrough", (2,))),
    "positions of numpy": make_column_transformer((StandardScaler(), np.array([4, 0]))),
    "a function": make_column_transformer(
        (StandardScaler(), lambda rows: [each for each in rows.columns if each < "c"])
    ),
    "the remainder": make_column_transformer(("drop", ["island", "note"]), remainder="passthrough"),
    "a model for the remainder": make_column_transformer(
        ("drop", ["island", "note"]), (MinMaxScaler(), ["a"]), remainder=StandardScaler()
    ),
    "no columns": make_column_transformer((StandardScaler(), []), (MinMaxScaler(), ["a"])),
    "nested": make_column_transformer(
        (
            make_pipeline(make_column_transformer((StandardScaler(), ["a"]), ("passthrough", ["n"])), "passthrough"),
            ["n", "a"],
        ),
        (FunctionTransformer(), ["b"]),
    ),
}
OVER_MATRICES: dict[str, Any] = {
    "positions": make_column_transformer((StandardScaler(), [2, 0]), ("passthrough", [1])),
    "a sparse result": make_column_transformer((OneHotEncoder(), [1]), (OneHotEncoder(), [2]), sparse_threshold=1),
}
SELECTED_OTHERWISE: dict[str, Any] = {
    "a slice": make_column_transformer((StandardScaler(), slice(0, 2))),
    "a mask": make_column_transformer((StandardScaler(), [True, False, True])),
    "weights": ColumnTransformer([("any name", StandardScaler(), [0])], transformer_weights={"any name": 2}),
}


def are_identical(found: Any, expected: Any) -> bool:
    if type(found) is not type(expected):
        return False
    if sparse.issparse(found):
        return all(
            are_identical(getattr(found, part), getattr(expected, part)) for part in ("data", "indices", "indptr")
        )
    if found.dtype != expected.dtype or found.strides != expected.strides:
        return False
    if found.dtype == object:
        return bool(found.tolist() == expected.tolist())
    return bool(found.tobytes() == expected.tobytes())


def is_flat(transforms: list[Any]) -> bool:
    return all(isinstance(each, ColumnBranches) for each in transforms)


@pytest.mark.parametrize("frame", [PANDAS, POLARS], ids=["pandas", "polars"])
@pytest.mark.parametrize("kind", OVER_FRAMES)
def test_frame_is_transformed_as_by_the_column_transformer(kind: str, frame: Any) -> None:
    transformer = OVER_FRAMES[kind].fit(frame)
    flat = flatten_transforms([transformer])
    assert is_flat(flat)
    in_other_order = frame[list(reversed(frame.columns))]
    for rows in (frame, frame[:1], frame[3:10], in_other_order, frame):
        assert are_identical(apply_transforms(flat, rows), transformer.transform(rows))


@pytest.mark.parametrize("kind", OVER_MATRICES)
def test_matrix_is_transformed_as_by_the_column_transformer(kind: str) -> None:
    transformer = OVER_MATRICES[kind].fit(MATRIX)
    flat = flatten_transforms([transformer])
    assert is_flat(flat)
    for rows in (MATRIX, MATRIX[:1], np.asfortranarray(MATRIX[3:10])):
        assert are_identical(apply_transforms(flat, rows), transformer.transform(rows))


@pytest.mark.parametrize("kind", SELECTED_OTHERWISE)
def test_other_column_transformers_are_called_themselves(kind: str) -> None:
    transformer = SELECTED_OTHERWISE[kind].fit(MATRIX)
    assert flatten_transforms([transformer]) == [transformer]


class OwnTransformer(ColumnTransformer):  # type: ignore[misc]  # scikit-learn is untyped
    """A subclass may override any method."""


def test_subclass_is_called_itself() -> None:
    transformer = OwnTransformer([("any name", StandardScaler(), [0])]).fit(MATRIX)
    assert flatten_transforms([transformer]) == [transformer]


def test_absent_column_is_an_error() -> None:
    flat = flatten_transforms([make_column_transformer((StandardScaler(), ["a"])).fit(PANDAS)])
    with pytest.raises(KeyError, match=r"lack a column of \['a'\]"):
        apply_transforms(flat, PANDAS.drop(columns="a"))


def drop_negative_rows(rows: Any) -> Any:
    return rows[rows["a"] >= 0]


def test_step_of_a_branch_that_drops_a_row_is_named() -> None:
    step = FunctionTransformer(drop_negative_rows)
    flat = flatten_transforms([make_column_transformer((make_pipeline(step), ["a"])).fit(PANDAS)])
    with pytest.raises(RowCountChanged, match="step FunctionTransformer returned 0 rows for 1"):
        apply_transforms(flat, PANDAS[:1])


PAIR = (Output.PREDICTION, Output.LOG_PROBA)
ALL_ROWS: WantedRows = dict.fromkeys(PAIR)


def prove(prepare: Any) -> tuple[Any, Evaluator, list[Any]]:
    pipeline = make_pipeline(prepare, LogisticRegression()).fit(PANDAS, Y)
    evaluation = Evaluator(pipeline, PAIR)
    with capture_logs() as lines:
        evaluation.prove_one_evaluation(PANDAS[:5])
    return pipeline, evaluation, lines


def assert_equal_plain_outputs(evaluation: Evaluator, pipeline: Any) -> None:
    outputs = evaluation(PANDAS, ALL_ROWS)
    assert are_identical(outputs[Output.PREDICTION], pipeline.predict(PANDAS))
    assert are_identical(outputs[Output.LOG_PROBA], pipeline.predict_log_proba(PANDAS))


def test_transforms_are_called_one_by_one_if_the_outputs_are_equal() -> None:
    imputed = make_pipeline(SimpleImputer(), StandardScaler())
    pipeline, evaluation, lines = prove(make_column_transformer((ENCODER, ["island"]), (imputed, ["a", "b"])))
    assert lines == []
    assert is_flat(evaluation._transforms)
    assert_equal_plain_outputs(evaluation, pipeline)


def test_frame_that_comes_out_is_made_by_the_column_transformer() -> None:
    prepare = make_column_transformer((OneHotEncoder(sparse_output=False), ["island"]), (StandardScaler(), ["a", "n"]))
    pipeline, evaluation, lines = prove(prepare.set_output(transform="pandas"))
    assert [line["reason"] for line in lines] == ["they return a ndarray instead of a DataFrame"]
    assert evaluation._transforms == [pipeline[0]]
    assert_equal_plain_outputs(evaluation, pipeline)


def add_a_bit(self: Any, rows: Any) -> Any:
    del self
    return np.nextafter(rows[["a", "n"]].to_numpy(), 1)


def raise_lookup_error(self: Any, rows: Any) -> Any:
    raise LookupError(self, rows)


@pytest.mark.parametrize("transform", [add_a_bit, raise_lookup_error])
def test_wrong_transforms_are_found_and_not_used(
    monkeypatch: pytest.MonkeyPatch, transform: Callable[[Any, Any], Any]
) -> None:
    monkeypatch.setattr(ColumnBranches, "transform", transform)
    pipeline, evaluation, lines = prove(make_column_transformer((StandardScaler(), ["a", "n"])))
    assert [line["event"] for line in lines] == ["fell back to the transforms' own methods"]
    assert evaluation._transforms == [pipeline[0]]
    assert_equal_plain_outputs(evaluation, pipeline)
