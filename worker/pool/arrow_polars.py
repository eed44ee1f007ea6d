"""Converts canonical rows into polars data frames, equal to those of `PolarsDecoder`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from shared.columns import Column, ValueType
from worker.pool.polars_frame import Builder, make_builder, to_polars_dtype

Converter = Callable[[pa.Array], pl.Series]
"""Takes a stored column and returns a series without a name."""


class ArrowToPolars:
    """Converts Arrow tables of canonical rows into data frames."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._converters = [_make_converter(column) for column in columns]

    def convert_table(self, table: pa.Table) -> pl.DataFrame:
        """Convert the feature columns, in order."""
        columns = zip(self._names, self._converters, table.columns, strict=True)
        return pl.DataFrame([convert(pa.concat_arrays(each.chunks)).alias(name) for name, convert, each in columns])


def _make_converter(column: Column) -> Converter:
    if column.categories is not None or column.type in {ValueType.DATE, ValueType.DATETIME}:
        return partial(_convert_by_value, make_builder(column))
    return partial(_convert_array, to_polars_dtype(column), column.missing == "nan")


def _convert_by_value(builder: Builder, array: pa.Array) -> pl.Series:
    return builder("", array.to_pylist())


def _convert_array(dtype: Any, is_missing_nan: bool, array: pa.Array) -> pl.Series:
    series = pl.Series("", array).cast(dtype)
    return series.fill_null(float("nan")) if is_missing_nan else series
