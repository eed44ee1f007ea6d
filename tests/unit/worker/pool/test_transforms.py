"""Transforms that are called one by one return what the pipeline's own methods return, in the same layout."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import get_config, set_config
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from structlog.testing import capture_logs

from shared.names import Output
from worker.pool.evaluation import Evaluator, RowCountChanged
from worker.pool.outputs import WantedRows
from worker.pool.transforms import ColumnBranches, StepSequence, flatten_transform

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


@pytest.mark.parametrize("frame", [PANDAS, POLARS], ids=["pandas", "polars"])
@pytest.mark.parametrize("kind", OVER_FRAMES)
def test_frame_is_transformed_as_by_the_column_transformer(kind: str, frame: Any) -> None:
    transformer = OVER_FRAMES[kind].fit(frame)
    flat = flatten_transform(transformer)
    assert isinstance(flat, ColumnBranches)
    in_other_order = frame[list(reversed(frame.columns))]
    for rows in (frame, frame[:1], frame[3:10], in_other_order, frame):
        assert are_identical(flat.transform(rows), transformer.transform(rows))


@pytest.mark.parametrize("kind", OVER_MATRICES)
def test_matrix_is_transformed_as_by_the_column_transformer(kind: str) -> None:
    transformer = OVER_MATRICES[kind].fit(MATRIX)
    flat = flatten_transform(transformer)
    assert isinstance(flat, ColumnBranches)
    for rows in (MATRIX, MATRIX[:1], np.asfortranarray(MATRIX[3:10])):
        assert are_identical(flat.transform(rows), transformer.transform(rows))


@pytest.mark.parametrize("kind", SELECTED_OTHERWISE)
def test_other_column_transformers_are_called_themselves(kind: str) -> None:
    transformer = SELECTED_OTHERWISE[kind].fit(MATRIX)
    assert flatten_transform(transformer) is transformer


class OwnTransformer(ColumnTransformer):  # type: ignore[misc]  # scikit-learn is untyped
    """A subclass may override any method."""


def test_subclass_is_called_itself() -> None:
    transformer = OwnTransformer([("any name", StandardScaler(), [0])]).fit(MATRIX)
    assert flatten_transform(transformer) is transformer


def for_single_rows(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a step that changes only rows that are alone, and so not those of `fit`."""
    return lambda rows: rows if len(rows) > 1 else change(rows)


def numbered_columns(rows: Any) -> Any:
    return pd.DataFrame(rows[["a", "n"]].to_numpy(), columns=[1, 0])


def as_matrix(rows: Any) -> Any:
    matrix = rows[["a", "n"]].to_numpy()
    return matrix if len(rows) > 1 else np.hstack([matrix, matrix])


def with_na(rows: Any) -> Any:
    found = rows["note"].astype("string").str.extract("(words)")[0]
    return rows.assign(note=found.fillna("none") if len(rows) == N else found)


def ravel_single_row(rows: Any) -> Any:
    return rows if len(rows) > 1 else np.ravel(rows)


UNUSUAL: dict[str, Any] = {
    "a column is absent": (for_single_rows(lambda rows: rows.drop(columns="a")), (StandardScaler(), ["a"])),
    "a text column is absent": (for_single_rows(lambda rows: rows.drop(columns="note")), (TfidfVectorizer(), "note")),
    "a column of polars is absent": (
        lambda rows: pl.from_pandas(rows) if len(rows) > 1 else pl.from_pandas(rows.drop(columns="a")),
        (StandardScaler(), ["a"]),
    ),
    "a name is a number": (
        for_single_rows(lambda rows: rows.set_axis([*rows.columns[:-1], 5], axis=1)),
        (TfidfVectorizer(), "note"),
    ),
    "two columns have a name": (
        for_single_rows(lambda rows: rows.set_axis([*rows.columns[:-1], "b"], axis=1)),
        (TfidfVectorizer(), "note"),
    ),
    "a matrix instead of a frame": (for_single_rows(lambda rows: rows.to_numpy()), (StandardScaler(), ["a"])),
    "names that are numbers": (numbered_columns, (StandardScaler(), [0])),
    "more columns than in fit": (as_matrix, (StandardScaler(), [0])),
    "lists instead of a matrix": (lambda rows: rows[["a"]].to_numpy().tolist(), (FunctionTransformer(), [0])),
    "NA comes out": (with_na, (FunctionTransformer(), ["note"])),
    "a vector comes out": (lambda rows: rows[["a"]].to_numpy(), (FunctionTransformer(ravel_single_row), [0])),
}


def try_transform(transform: Any, rows: Any) -> Any:
    try:
        return transform.transform(rows)
    except (TypeError, ValueError) as error:
        return str(error)


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_rows_are_given_to_the_column_transformer(kind: str) -> None:
    """Its checks, its messages, and its way to select columns by position."""
    step, transform = UNUSUAL[kind]
    pipeline = make_pipeline(FunctionTransformer(step), make_column_transformer(transform)).fit(PANDAS)
    flat = flatten_transform(pipeline)
    assert isinstance(flat, StepSequence)
    for rows in (PANDAS, PANDAS[:1], PANDAS[3:4], PANDAS[:4]):
        expected, found = try_transform(pipeline, rows), try_transform(flat, rows)
        assert found == expected if isinstance(expected, str) else are_identical(found, expected)


def set_configuration(rows: Any) -> Any:
    set_config(assume_finite=True)
    warnings.simplefilter("ignore")
    return rows


def test_branch_changes_no_configuration() -> None:
    branch = make_column_transformer((FunctionTransformer(set_configuration), ["a"])).fit(PANDAS)
    before = get_config(), list(warnings.filters)
    flatten_transform(branch).transform(PANDAS)
    assert (get_config(), list(warnings.filters)) == before


def test_refused_rows_change_nothing_for_other_rows() -> None:
    step, transform = UNUSUAL["NA comes out"]
    pipeline = make_pipeline(FunctionTransformer(step), make_column_transformer(transform)).fit(PANDAS)
    branches = flatten_transform(pipeline[1])
    with pytest.raises(ValueError, match=r"uses pandas\.NA"):
        branches.transform(with_na(PANDAS[3:4]))
    assert not branches._needs_own_method
    branches.transform(with_na(PANDAS[:1]))  # strings that are not numpy's, without NA
    assert branches._needs_own_method
    assert are_identical(branches.transform(with_na(PANDAS)), pipeline.transform(PANDAS))


def explode(rows: Any) -> Any:
    return rows["note"].str.split().explode()


def count_words(words: Any) -> Any:
    return words.groupby(level=0).size().to_frame().to_numpy()


def test_nested_pipeline_may_have_more_rows_inside() -> None:
    nested = make_pipeline(FunctionTransformer(explode), FunctionTransformer(count_words))
    pipeline = make_pipeline(nested, LogisticRegression()).fit(PANDAS, Y)
    evaluation = Evaluator(pipeline, PAIR)
    evaluation.prove_one_evaluation(PANDAS[3:4])
    assert isinstance(evaluation._transforms[0], StepSequence)
    assert_equal_plain_outputs(evaluation, pipeline)


def drop_negative_rows(rows: Any) -> Any:
    return rows[rows["a"] >= 0]


def test_step_that_drops_a_row_is_named() -> None:
    step = make_pipeline(FunctionTransformer(drop_negative_rows))
    pipeline = make_pipeline(make_column_transformer((step, ["a"])), StandardScaler()).fit(PANDAS)
    with pytest.raises(RowCountChanged, match="step ColumnTransformer returned 0 rows for 1"):
        Evaluator(pipeline, (Output.TRANSFORM,))(PANDAS[:1], {Output.TRANSFORM: None})


PAIR = (Output.PREDICTION, Output.LOG_PROBA)
ALL_ROWS: WantedRows = dict.fromkeys(PAIR)


def prove(prepare: Any) -> tuple[Any, Evaluator, list[Any]]:
    pipeline = make_pipeline(prepare, LogisticRegression()).fit(PANDAS, Y)
    evaluation = Evaluator(pipeline, PAIR)
    with capture_logs() as lines:
        evaluation.prove_one_evaluation(PANDAS[:5])
    return pipeline, evaluation, lines


def assert_equal_plain_outputs(evaluation: Evaluator, pipeline: Any, rows: Any = PANDAS) -> None:
    outputs = evaluation(rows, ALL_ROWS)
    assert are_identical(outputs[Output.PREDICTION], pipeline.predict(rows))
    assert are_identical(outputs[Output.LOG_PROBA], pipeline.predict_log_proba(rows))


def test_transforms_are_called_one_by_one_if_the_outputs_are_equal() -> None:
    imputed = make_pipeline(SimpleImputer(), StandardScaler())
    pipeline, evaluation, lines = prove(make_column_transformer((ENCODER, ["island"]), (imputed, ["a", "b"])))
    assert lines == []
    assert isinstance(evaluation._transforms[0], ColumnBranches)
    assert_equal_plain_outputs(evaluation, pipeline)


def test_frame_that_comes_out_is_made_by_the_column_transformer() -> None:
    """A step after it may compute with the columns' own types: as int8, the square of 100 is 16."""
    prepare = make_column_transformer((FunctionTransformer(feature_names_out="one-to-one"), ["a", "small"]))
    square = FunctionTransformer(np.square, feature_names_out="one-to-one")
    frame = PANDAS.assign(small=np.arange(N, dtype=np.int8) % 8)
    pipeline = make_pipeline(prepare, square, LogisticRegression()).set_output(transform="pandas").fit(frame, Y)
    evaluation = Evaluator(pipeline, PAIR)
    evaluation.prove_one_evaluation(frame[:2])
    assert evaluation._transforms == [pipeline[0], pipeline[1]]
    assert_equal_plain_outputs(evaluation, pipeline, frame.assign(small=np.int8(100)))


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
