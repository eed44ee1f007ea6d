"""Stored rows are decoded to the same dtypes, storages, markers and bits as rows of requests."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from shared.rows import encode_one_batch
from tests import served_models
from tests.families import PIPELINES
from tests.request_path import card_of
from tests.stored_rows import stored_table
from tests.unit.training import test_pandas_columns as pandas_columns
from tests.unit.training import test_polars_columns as polars_columns
from training.inputs import describe_input
from training.sample import to_client_rows
from worker.pool.arrow_rows import make_converter
from worker.pool.rows import make_decoder

MATRICES = {
    "float64": np.array([[0.1, -0.0], [1e-300, 5e-324]]),
    "float64 with NaN": np.array([[0.1, np.nan], [np.nan, 2.0], [1.0, 3.0]]),
    "float32": np.array([[0.1, 3e38], [1e-45, 2]], dtype=np.float32),
    "float32 with NaN": np.array([[0.1, np.nan]], dtype=np.float32),
    "bool": np.array([[True, False], [False, False]]),
    **{name: np.array([[0, 1], [100, 2]], dtype=name) for name in ("int8", "uint8", "int32", "int64", "uint64")},
}


def check(X: Any, nullable: bool = False) -> None:
    """Compare stored rows, whole and in parts that begin within a byte of a bitmap, with decoded ones."""
    described = describe_input(None, X, nullable=nullable)
    card = card_of(described)
    rows = to_client_rows(described, X)
    if nullable and described.kind != "text":
        values = zip(described.columns, rows[0], strict=True)
        rows.append([None if column.nullable else value for column, value in values])
    table, convert, decode = stored_table(described, rows), make_converter(card), make_decoder(card)
    in_batches = pa.Table.from_batches(table.to_batches(max_chunksize=3))
    for start, stop in ((0, len(rows)), (1, len(rows)), (0, 1), (len(rows) // 2, len(rows))):
        if start == stop:
            continue
        expected = decode(encode_one_batch(rows[start:stop], card.encoding))
        for stored in (table, in_batches):
            assert_same(convert(stored.slice(start, stop - start)), expected)


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(found, pd.DataFrame):
        pandas_columns.assert_same(found, expected)
        assert [storage(found[name]) for name in found] == [storage(expected[name]) for name in expected]
        assert layout(found) == layout(expected)
    elif isinstance(found, pl.DataFrame):
        polars_columns.assert_same(found, expected)
        assert found.n_chunks() == 1
    elif isinstance(found, np.ndarray):
        assert (found.dtype, found.shape, found.flags["C_CONTIGUOUS"]) == (expected.dtype, expected.shape, True)
        assert found.tobytes() == expected.tobytes()
    else:
        assert found == expected


def storage(column: pd.Series) -> Any:
    """Return what holds the values of a column, and the class and the type of that."""
    array = column.array
    held = getattr(array, "_pa_array", None)
    return type(array), None if held is None else (held.type, held.num_chunks)


def layout(frame: pd.DataFrame) -> Any:
    return [(block.mgr_locs.as_array.tolist(), block.dtype, flags(block.values)) for block in frame._mgr.blocks]


def flags(values: Any) -> Any:
    return values.flags["C_CONTIGUOUS"] if isinstance(values, np.ndarray) else None


@pytest.mark.parametrize("kind", MATRICES)
def test_matrix_is_as_decoded(kind: str) -> None:
    check(MATRICES[kind])


@pytest.mark.parametrize("kind", pandas_columns.SERVED)
@pytest.mark.parametrize("nullable", [False, True])
def test_column_of_pandas_is_as_decoded(kind: str, nullable: bool) -> None:
    column = pandas_columns.SERVED[kind]
    check(pd.DataFrame({"any name": column, "x1": np.arange(float(len(column)))}), nullable)


@pytest.mark.parametrize("kind", polars_columns.SERVED)
@pytest.mark.parametrize("nullable", [False, True])
def test_column_of_polars_is_as_decoded(kind: str, nullable: bool) -> None:
    column = polars_columns.SERVED[kind]
    check(pl.DataFrame([column.alias("any name"), pl.Series("x1", np.arange(float(len(column))))]), nullable)


def test_frames_of_all_kinds_are_as_decoded() -> None:
    ends = [column.iloc[[0, -1]].reset_index(drop=True) for column in pandas_columns.SERVED.values()]
    check(pd.concat(ends, axis=1, keys=pandas_columns.SERVED))
    check(served_models.frame_of_every_type())


@pytest.mark.parametrize("name", PIPELINES)
def test_rows_of_every_pipeline_are_as_decoded(name: str) -> None:
    check(PIPELINES[name]().X)


def test_missing_integer_of_a_column_without_missing_values_is_an_error() -> None:
    described = describe_input(None, np.array([[1, 2]]))
    table = pa.table([pa.array([1, None]), pa.array([1, 2])], names=["f0", "f1"])
    with pytest.raises(ValueError, match="missing in a column of int64"):
        make_converter(card_of(described))(table)
