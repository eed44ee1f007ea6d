"""Builds pandas data frames with the very dtypes, storages and markers of missing values of the training data."""

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from shared.columns import FLOATS, INTEGERS, Categories, Column, Unit, Values, ValueType
from shared.rows import EncodedRows, decode

Build = Callable[[Sequence[Any]], Any]
"""Takes the values of a column, None where one is missing, and returns an array for a data frame."""

_MARKERS: Final = {"nan": np.nan, "none": None, "na": pd.NA, "nat": pd.NaT}
_STRINGS: Final = {
    "str[pyarrow]": ("pyarrow", np.nan),
    "str[python]": ("python", np.nan),
    "string[pyarrow]": ("pyarrow", pd.NA),
    "string[python]": ("python", pd.NA),
}
"""How strings are stored, and their missing value."""


class PandasFrame:
    """Decodes rows into data frames."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._builds = [_build(column) for column in columns]

    def __call__(self, rows: EncodedRows) -> pd.DataFrame:
        """Decode rows into a frame of shape (n_rows, n_columns) with the index 0, 1, …."""
        return self.frame(decode(rows))

    def frame(self, rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
        """Build a frame of rows that are decoded already."""
        columns = zip(*rows, strict=True)
        arrays = [build(values) for build, values in zip(self._builds, columns, strict=True)]
        return pd.DataFrame(dict(zip(self._names, arrays, strict=True)), copy=False)


def _build(column: Column) -> Build:
    if column.categories is not None:
        return _build_categorical(column.categories)
    if column.dtype == "object":
        return partial(_objects, column.type, _MARKERS.get(column.missing or "none"))
    if column.type is ValueType.DATETIME and column.time_zone and column.dtype.startswith("datetime64"):
        return partial(_zoned, column.unit or Unit.NANOSECOND, column.time_zone)
    if column.type is ValueType.DATETIME:
        return partial(_naive, column.unit or Unit.NANOSECOND, column.dtype, bool(column.time_zone))
    if column.dtype in _NUMPY:
        return partial(np.array, dtype=column.dtype)
    return partial(_extension, _dtype(column), column.type is ValueType.DATE)


def _build_categorical(categories: Categories) -> Build:
    inner = Column.model_validate(
        categories.model_dump(exclude={"values", "ordered"}) | {"name": "", "missing": None},
    )
    dtype = pd.CategoricalDtype(pd.Index(_build(inner)(categories.values)), ordered=categories.ordered)
    codes = {value: code for code, value in enumerate(categories.values)}
    return partial(_categorical, dtype, codes)


def _categorical(dtype: pd.CategoricalDtype, codes: dict[Any, int], values: Sequence[Any]) -> Any:
    return pd.Categorical.from_codes([codes.get(value, -1) for value in values], dtype=dtype)


def _objects(value_type: ValueType, marker: Any, values: Sequence[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    convert = date.fromisoformat if value_type is ValueType.DATE else None
    array[:] = [marker if value is None else convert(value) if convert else value for value in values]
    return array


def _zoned(unit: Unit, time_zone: str, values: Sequence[str | None]) -> Any:
    return pd.DatetimeIndex(_utc(unit, values)).tz_localize("UTC").tz_convert(time_zone)


def _naive(unit: Unit, dtype: str, is_zoned: bool, values: Sequence[str | None]) -> Any:
    array = _utc(unit, values) if is_zoned else np.array(values, dtype=f"datetime64[{unit}]")
    if dtype.startswith("datetime64"):
        return array
    series = pd.Series(array)
    return (series.dt.tz_localize("UTC") if is_zoned else series).astype(_arrow_dtype(dtype)).array


def _utc(unit: Unit, values: Sequence[str | None]) -> Any:
    # numpy parses no offset: the final Z goes.
    return np.array([value and value[:-1] for value in values], dtype=f"datetime64[{unit}]")


def _extension(dtype: Any, is_date: bool, values: Sequence[Any]) -> Any:
    if is_date:
        values = [value and date.fromisoformat(value) for value in values]
    return pd.array(list(values), dtype=dtype)


def _dtype(values: Values) -> Any:
    if values.dtype in _STRINGS:
        storage, missing = _STRINGS[values.dtype]
        return pd.StringDtype(storage, na_value=missing)
    return _arrow_dtype(values.dtype) if values.dtype.startswith("arrow[") else pd.api.types.pandas_dtype(values.dtype)


def _arrow_dtype(name: str) -> Any:
    import pyarrow as pa

    inner = name.removeprefix("arrow[").removesuffix("]")
    if inner == "string":  # pandas reads `string[pyarrow]` as its own dtype
        return pd.ArrowDtype(pa.string())
    return pd.ArrowDtype.construct_from_string(f"{inner}[pyarrow]")


_NUMPY: Final = frozenset({*(each.value for each in FLOATS), *(each.value for each in INTEGERS), "bool"})
