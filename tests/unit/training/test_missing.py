"""Columns that `nullable` widens are proved with rows in which their values are missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from shared.card import read_card
from training.artifact import save
from training.inputs import describe_input
from training.missing import append_missing_values
from training.sample import find_missing_values

N = 30
NUMBERS = np.arange(float(N)) - 9.5
TEXTS = ["x", "y", "z"] * (N // 3)
Y = np.tile([0, 1], N // 2)
IGNORES_ROWS = DummyClassifier().fit(NUMBERS, Y)


def as_pandas(column: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"whole": range(N), "any name": column})


FRAMES: dict[str, Any] = {
    "matrix": NUMBERS.reshape(-1, 2),
    **{f"pandas {dtype}": as_pandas(pd.Series(NUMBERS, dtype=dtype)) for dtype in ("float64", "float32", "Float64")},
    **{f"pandas {dtype}": as_pandas(pd.Series(range(N), dtype=dtype)) for dtype in ("Int64", "Int8")},
    **{
        f"pandas {dtype}": as_pandas(pd.Series(TEXTS, dtype=dtype)) for dtype in ("object", "str", "string", "category")
    },
    "pandas boolean": as_pandas(pd.Series(Y == 0, dtype="boolean")),
    "pandas datetime": as_pandas(pd.Series(pd.date_range("2026-01-31", periods=N, tz="Europe/Berlin"))),
    "pandas arrow": as_pandas(pd.Series(NUMBERS, dtype=pd.ArrowDtype(pa.float64()))),
    **{
        f"polars {dtype}": pl.DataFrame({"whole": range(N), "any name": pl.Series(values).cast(dtype)})
        for dtype, values in (
            (pl.Float64, NUMBERS),
            (pl.Int16, Y),
            (pl.Boolean, Y),
            (pl.String, TEXTS),
            (pl.Enum(["x", "y", "z"]), TEXTS),
            (pl.Date, Y),
        )
    },
}


@pytest.mark.parametrize("kind", FRAMES)
def test_each_widened_column_gets_a_row_without_its_value(kind: str) -> None:
    X = FRAMES[kind]
    widened = describe_input(None, X, nullable=True)
    rows = append_missing_values(IGNORES_ROWS, widened, X, find_missing_values(widened, X)).X
    assert type(rows) is type(X)
    described = describe_input(None, rows)  # as if X had had these missing values
    assert [(each.name, each.dtype, each.missing) for each in described.columns] == [
        (each.name, each.dtype, each.missing) for each in widened.columns
    ]
    assert find_missing_values(described, rows)[: len(X)].sum() == 0
    n_nullable = sum(column.nullable for column in widened.columns)
    assert find_missing_values(described, rows).sum() == len(rows) - len(X) == n_nullable > 0


def test_columns_whose_values_are_missing_in_the_data_get_no_rows() -> None:
    X = pd.DataFrame({"any name": [1.0, None, 2.0]})
    described = describe_input(None, X, nullable=True)
    assert append_missing_values(IGNORES_ROWS, described, X, find_missing_values(described, X)).X is X


def test_many_columns_share_rows() -> None:
    X = np.ones((3, 250))
    described = describe_input(None, X, nullable=True)
    rows = append_missing_values(IGNORES_ROWS, described, X, np.zeros((3, 250), dtype=bool)).X
    assert rows.shape == (103, 250)
    assert np.isnan(rows).any(axis=0).all()


class RaisesOnTwo(DummyClassifier):  # type: ignore[misc]  # scikit-learn is untyped
    """Raises if two values of a row are missing."""

    def predict(self, X: Any) -> Any:  # scikit-learn's name
        if (np.isnan(X).sum(axis=1) > 1).any():
            raise ValueError("two values are missing")
        return super().predict(X)


def test_columns_that_may_not_be_missing_together_get_rows_of_their_own() -> None:
    X = np.ones((30, 150))
    described = describe_input(None, X, nullable=True)
    rows, refused = append_missing_values(RaisesOnTwo().fit(X, Y), described, X, np.zeros((30, 150), dtype=bool))
    assert refused == {}
    assert np.isnan(rows[30:]).sum(axis=1).tolist() == [1] * 100


def test_other_faults_are_left_to_the_proof() -> None:
    X = np.ones((30, 2))
    described = describe_input(None, X, nullable=True)
    assert append_missing_values(LogisticRegression(), described, X, np.zeros((30, 2), dtype=bool)) == (X, {})


def test_name_that_polars_takes_for_a_pattern_is_a_name() -> None:
    X = pl.DataFrame({"*": NUMBERS, "b": NUMBERS})
    described = describe_input(None, X, nullable=["*"])
    rows = append_missing_values(IGNORES_ROWS, described, X, find_missing_values(described, X)).X
    assert rows.null_count().rows() == [(1, 0)]


def _save(folder: Path, pipeline: Any, X: Any, nullable: Any) -> list[bool]:
    saved = save(pipeline, folder, name="any", version="1", X=X, source="the tests", nullable=nullable)
    return [column.nullable for column in read_card(saved).input.columns]


def test_nullable_columns_are_saved_with_a_warning_if_the_pipeline_raises(tmp_path: Path) -> None:
    X = pd.DataFrame({"number": NUMBERS, "text": TEXTS, "other": NUMBERS})
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["text"]),
        (SimpleImputer(), ["number"]),
        ("passthrough", ["other"]),
    )
    pipeline = make_pipeline(prepare, LogisticRegression()).fit(X, Y)
    assert _save(tmp_path, pipeline, X, ["number", "text"]) == [True, True, False]
    with pytest.warns(UserWarning, match=r'"other" is missing, which nullable allows \(.*NaN.*Impute it') as caught:
        assert _save(tmp_path / "named", pipeline, X, ["number", "other"]) == [True, False, True]
    assert len(caught) == 1
    assert _save(tmp_path / "all", pipeline, X, nullable=True) == [True, True, True]
    with pytest.warns(UserWarning, match='"other" is missing'):
        assert _save(tmp_path / "one", pipeline, X, nullable="other") == [False, False, True]


def test_nullable_columns_of_a_matrix_are_saved(tmp_path: Path) -> None:
    X = np.column_stack([NUMBERS, NUMBERS])
    pipeline = make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, Y)
    assert _save(tmp_path, pipeline, X, nullable=True) == [True, True]
