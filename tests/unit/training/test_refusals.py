"""Models that cannot be served exactly are refused, with an error that names the column and a remedy."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dateutil.tz import gettz, tzoffset
from scipy import sparse

from shared.errors import CannotServe
from training.inputs import describe_input


def column(values: Any, dtype: Any = object) -> pd.DataFrame:
    return pd.DataFrame({"any name": pd.Series(values, dtype=dtype)})


MIXED = "different types"
COLUMNS: dict[str, tuple[pd.DataFrame, str]] = {
    "mixed types": (column(["a", 1]), rf"{MIXED} \(int, str\).*astype\(str\)"),
    "bools and ints": (column([True, 1]), rf"{MIXED} \(bool, int\)"),
    "nested objects": (column([{"a": 1}]), "of the type dict.*Convert them"),
    "lists": (column([[1, 2]]), "of the type list.*Convert them"),
    "Decimal": (column([Decimal(1)]), "of the type Decimal.*Convert them"),
    "numbers of numpy": (column([np.float32(1)]), "of the type float32.*Convert them"),
    "datetimes as objects": (column([datetime(2026, 1, 31)]), "of the type datetime.*Convert them"),
    "bytes": (column([b"a"]), "of the type bytes.*Convert them"),
    "None and NaN": (column(["a", None, np.nan]), r'several ways \(NaN, None\).*X\["any name"\] = .*where.*None'),
    "NA and None": (column(["a", None, pd.NA]), r"several ways \(NA, None\)"),
    "NaN and NA": (column(pd.arrays.ArrowExtensionArray(pa.array([np.nan, None])), None), r"NaN.*NA.*\.where\("),
    "infinite": (column([1.0, np.inf], "float64"), "infinite number.*Replace it"),
    "infinite in Float64": (column([1.0, np.inf], "Float64"), "infinite number.*Replace it"),
    "infinite among objects": (column([1.0, -np.inf]), "infinite number.*Replace it"),
    "integers beyond 64 bits": (column([2**64]), "64 bits.*float64"),
    "a lone surrogate": (column(["\ud800"]), "surrogate"),
    **{
        f"the time zone {zone}": (column(pd.to_datetime(["2026-01-31"]).tz_localize(zone), None), "time zone.*tz_conv")
        for zone in (tzoffset("mine", 3600), gettz("Europe/Berlin"))
    },
    "timedelta": (column([1], "timedelta64[s]"), r"timedelta64.*total_seconds\(\)"),
    "period": (column([pd.Period("2026-01")], "period[M]"), r"period.*to_timestamp\(\)"),
    "interval": (column(pd.interval_range(0, 2), None), "interval.*mid"),
    "categories of intervals": (column(pd.cut([1, 2], 2), None), "interval.*mid"),
    "categories of mixed types": (column(["a", 1], "category"), MIXED),
    "sparse column": (column(pd.arrays.SparseArray([0, 1]), None), r"Sparse.*to_dense\(\)"),
    "complex": (column([1j], "complex128"), "complex128.*Convert it"),
    "float16": (column([1], "float16"), "float16.*float32"),
    "float16 in Arrow": (column([1], pd.ArrowDtype(pa.float16())), "halffloat.*float32"),
    "date64": (column([pd.Timestamp("2026-01-31")], pd.ArrowDtype(pa.date64())), "date64.*Convert it"),
    "Arrow list": (column([[1]], pd.ArrowDtype(pa.list_(pa.int64()))), "list.*column of its own"),
    "Arrow dictionary": (
        column(pd.arrays.ArrowExtensionArray(pa.array(["a"]).dictionary_encode()), None),
        'dictionary.*"category"',
    ),
    "Arrow decimal": (column([Decimal("1.5")], pd.ArrowDtype(pa.decimal128(5, 2))), "decimal128.*Convert it"),
    "Arrow duration": (column([1], pd.ArrowDtype(pa.duration("s"))), r"duration.*total_seconds\(\)"),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_column_is_refused(kind: str) -> None:
    X, reason = COLUMNS[kind]
    with pytest.raises(CannotServe, match=f'(?s)"any name".*{reason}'):
        describe_input(None, X)


INPUTS: dict[str, tuple[Any, str]] = {
    "sparse matrix": (sparse.eye(3).tocsr(), r"sparse.*toarray\(\)"),
    "sparse array": (sparse.eye_array(3), r"sparse.*toarray\(\)"),
    "complex matrix": (np.ones((2, 2), dtype=complex), "complex128.*numbers"),
    "float16 matrix": (np.ones((2, 2), dtype=np.float16), "float16"),
    "object matrix": (np.array([[1, "a"]], dtype=object), "object.*data frame"),
    "string matrix": (np.array([["a", "b"]]), "<U1.*data frame"),
    "datetime matrix": (np.array([["2026-01-31"]], dtype="datetime64[D]"), "datetime64.*data frame"),
    "structured matrix": (np.ones(2, dtype=[("a", "f8")]), "shape"),
    "big-endian matrix": (np.ones((2, 2), dtype=">f8"), "newbyteorder"),
    "ragged rows": ([[1.0], [1.0, 2.0]], "same number of values"),
    "infinite matrix": (np.array([[1.0, np.inf]]), '"x1" holds an infinite number'),
    "1-D numbers": (np.ones(3), "list of texts"),
    "list of numbers": ([1.0, 2.0], "matrix or a data frame"),
    "Series of numbers": (pd.Series([1.0, 2.0]), "matrix or a data frame"),
    "3-D matrix": (np.ones((2, 2, 2)), "matrix or a data frame"),
    "empty list": ([], "at least one row"),
    "empty matrix": (np.ones((0, 2)), "at least one row"),
    "empty frame": (pd.DataFrame({"a": []}), "no rows"),
    "frame without columns": (pd.DataFrame(index=[0]), "no columns"),
    "texts with None": (["a", None], 'NoneType.*""'),
    "texts with NaN": (pd.Series(["a", None], dtype="str"), 'float.*""'),
    "texts and numbers": (["a", 1], 'int.*""'),
    "bytes": ([b"a"], r"bytes.*text\.decode\(\)"),
    "lazy frame": (pl.LazyFrame({"a": [1.0]}), r"lazy frame.*X\.collect\(\)"),
    "named categories of polars": (
        pl.DataFrame({"a": ["x"]}, schema={"a": pl.Categorical(pl.Categories("letters"))}),
        r'"a" has categories with a name, letters.*cast\(pl\.Categorical\)',
    ),
    "a string": ("text", "a str of the shape.*list of texts"),
    "a dict of columns": ({"a": [1]}, "a dict of the shape.*data frame"),
    "column names that are no strings": (pd.DataFrame([[1.0, 2.0]]), r"column name 0 .*X\.columns"),
    "duplicate names": (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), 'two columns are called "a".*Rename'),
    "MultiIndex": (
        pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
        r"column name \('a', 'b'\) .*X\.columns",
    ),
    "categorical names": (pd.DataFrame([[1.0]], columns=pd.CategoricalIndex(["a"])), r"category.*X\.columns"),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_input_is_refused(kind: str) -> None:
    X, reason = INPUTS[kind]
    with pytest.raises(CannotServe, match=f"(?s){reason}"):
        describe_input(None, X)


def test_names_of_a_matrix_must_fit_it() -> None:
    with pytest.raises(CannotServe, match="the data has 2 columns, and there are 1 names"):
        describe_input(None, np.ones((2, 2)), ["a"])


def test_names_can_be_sent() -> None:
    with pytest.raises(CannotServe, match=r"'\\ud800' contains a lone surrogate.*Rename"):
        describe_input(None, np.ones((2, 2)), ["a", "\ud800"])


def test_names_of_methods_are_names() -> None:
    described = describe_input(None, pd.DataFrame({"collect": [0.5], "toarray": [0.5]}))
    assert [column.name for column in described.columns] == ["collect", "toarray"]


def test_columns_of_a_frame_are_not_named_again() -> None:
    with pytest.raises(CannotServe, match=r"have names already.*only with a matrix"):
        describe_input(None, pd.DataFrame({"a": [0.5]}), ["b"])


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_column_that_cannot_store_a_missing_value_is_not_made_nullable(dtype: str) -> None:
    X = pd.DataFrame({"any name": [1], "other": [0.5]}).astype({"any name": dtype})
    with pytest.raises(CannotServe, match=r'"any name" is stored as .*astype\("float64"\)'):
        describe_input(None, X, nullable=["any name"])
    described = describe_input(None, X, nullable=True)
    assert [column.nullable for column in described.columns] == [False, True]


def test_nullable_names_columns_of_X() -> None:  # noqa: N802 - scikit-learn's name
    X = pd.DataFrame({"a": [0.5], "b": [0.5]})
    assert [column.nullable for column in describe_input(None, X, nullable=["b"]).columns] == [False, True]
    with pytest.raises(CannotServe, match='nullable names "c"'):
        describe_input(None, X, nullable=["c"])
