"""Builds polars data frames with the dtypes of the training data."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl

from shared.columns import Column, Unit, ValueType
from shared.rows import EncodedRows, decode

Builder = Callable[[str, Sequence[Any]], pl.Series]
"""Takes a column's name and its values, None for a missing one, and returns a series."""

_DTYPES: Final = {
    ValueType.FLOAT64: pl.Float64,
    ValueType.FLOAT32: pl.Float32,
    ValueType.INT8: pl.Int8,
    ValueType.INT16: pl.Int16,
    ValueType.INT32: pl.Int32,
    ValueType.INT64: pl.Int64,
    ValueType.UINT8: pl.UInt8,
    ValueType.UINT16: pl.UInt16,
    ValueType.UINT32: pl.UInt32,
    ValueType.UINT64: pl.UInt64,
    ValueType.BOOL: pl.Boolean,
    ValueType.STRING: pl.String,
}


class PolarsDecoder:
    """Decodes rows into data frames."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._builders = [make_builder(column) for column in columns]

    def __call__(self, rows: EncodedRows) -> pl.DataFrame:
        """Decode rows into a frame of shape (n_rows, n_columns)."""
        return self.build_frame(decode(rows))

    def build_frame(self, rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
        """Build a frame from decoded rows."""
        columns = zip(self._names, self._builders, zip(*rows, strict=True), strict=True)
        return pl.DataFrame({name: build(name, values) for name, build, values in columns})


def make_builder(column: Column) -> Builder:
    """Return the function that builds a column."""
    if column.categories is not None:
        return partial(_build_series, pl.Enum([str(value) for value in column.categories.values]))
    if column.type is ValueType.DATETIME:
        return partial(_build_datetimes, column.unit or Unit.MICROSECOND, column.time_zone)
    if column.type is ValueType.DATE:
        return _build_dates
    dtype = to_polars_dtype(column)
    if column.missing == "nan":
        return partial(_build_floats, dtype)
    return partial(_build_series, dtype)


def to_polars_dtype(column: Column) -> Any:
    """Return the dtype of a column without categories, dates or datetimes."""
    return pl.Categorical() if column.dtype == "Categorical" else _DTYPES[column.type]


def _build_series(dtype: Any, name: str, values: Sequence[Any]) -> pl.Series:
    return pl.Series(name, values, dtype=dtype)


def _build_floats(dtype: Any, name: str, values: Sequence[Any]) -> pl.Series:
    return pl.Series(name, [np.nan if value is None else value for value in values], dtype=dtype)


def _build_datetimes(unit: Unit, time_zone: str | None, name: str, values: Sequence[Any]) -> pl.Series:
    texts = [value and value.removesuffix("Z") for value in values]
    series = pl.Series(name, np.array(texts, dtype=f"datetime64[{unit}]"))
    return series if time_zone is None else series.dt.replace_time_zone("UTC").dt.convert_time_zone(time_zone)


def _build_dates(name: str, values: Sequence[Any]) -> pl.Series:
    return pl.Series(name, np.array(values, dtype="datetime64[D]"))
