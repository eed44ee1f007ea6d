"""Converts canonical rows into polars data frames, equal to those of `PolarsDecoder`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from shared.columns import Column, ValueType
from worker.pool.polars_frame import Build, build_of, dtype_of

Convert = Callable[[pa.Array], pl.Series]
"""Takes a stored column and returns a series without a name."""


class PolarsTable:
    """Converts Arrow tables of canonical rows into data frames."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._converts = [_convert(column) for column in columns]

    def of_table(self, table: pa.Table) -> pl.DataFrame:
        """Convert the feature columns, in order."""
        columns = zip(self._names, self._converts, table.columns, strict=True)
        return pl.DataFrame([convert(pa.concat_arrays(each.chunks)).alias(name) for name, convert, each in columns])


def _convert(column: Column) -> Convert:
    if column.categories is not None or column.type in {ValueType.DATE, ValueType.DATETIME}:
        return partial(_by_value, build_of(column))
    return partial(_series, dtype_of(column), column.missing == "nan")


def _by_value(build: Build, array: pa.Array) -> pl.Series:
    return build("", array.to_pylist())


def _series(dtype: Any, is_missing_nan: bool, array: pa.Array) -> pl.Series:
    series = pl.Series("", array).cast(dtype)
    return series.fill_null(float("nan")) if is_missing_nan else series
