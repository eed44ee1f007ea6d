"""Builds pandas data frames with the dtypes, storages and markers of missing values of the training data."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from pandas.api.internals import create_dataframe_from_blocks

from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Categories, Column, Unit, Values, ValueType
from shared.rows import EncodedRows, decode

Builder = Callable[[Sequence[Any]], Any]
"""Takes the values of a column, None for a missing one, and returns an array of shape (n_rows,)."""

MARKER_VALUES: Final = {"nan": np.nan, "none": None, "na": pd.NA, "nat": pd.NaT}
_STRING_DTYPES: Final = {
    "str[pyarrow]": pd.StringDtype("pyarrow", na_value=np.nan),
    "str[python]": pd.StringDtype("python", na_value=np.nan),
    "string[pyarrow]": pd.StringDtype("pyarrow", na_value=pd.NA),
    "string[python]": pd.StringDtype("python", na_value=pd.NA),
}
NUMPY_DTYPES: Final = frozenset(
    {*(each.value for each in FLOAT_TYPES), *(each.value for each in INTEGER_RANGES), "bool"}
)


class PandasDecoder:
    """Decodes rows into data frames.

    A frame has one block of memory for all columns of a numpy dtype, like a frame that was read or sliced, so that BLAS
    gets numbers in the same layout. `DataFrame(...)` would take four times as long, and change the dtype of object
    columns of strings.
    """

    def __init__(self, columns: Sequence[Column], names_dtype: str | None) -> None:
        self._names = pd.Index([column.name for column in columns], dtype=to_pandas_dtype(names_dtype or "str"))
        self._builders = [make_builder(column) for column in columns]
        self._blocks = _group_into_blocks(columns)

    def __call__(self, rows: EncodedRows) -> pd.DataFrame:
        """Decode rows into a frame of shape (n_rows, n_columns) with the index 0, 1, …."""
        return self.build_frame(zip(*decode(rows), strict=True), rows.n_rows)

    def build_frame(self, columns: Iterable[Sequence[Any]], n_rows: int) -> pd.DataFrame:
        """Build a frame from the values of each column."""
        arrays = [build(values) for build, values in zip(self._builders, columns, strict=True)]
        blocks = [
            np.stack([arrays[index] for index in block]) if is_numpy else arrays[block[0]]
            for block, is_numpy in self._blocks
        ]
        return self._join_blocks(blocks, n_rows)

    def _join_blocks(self, blocks: Iterable[Any], n_rows: int) -> pd.DataFrame:
        placed = [(values, positions) for values, (positions, _) in zip(blocks, self._blocks, strict=True)]
        return create_dataframe_from_blocks(placed, pd.RangeIndex(n_rows), self._names)


def _group_into_blocks(columns: Sequence[Column]) -> list[tuple[Any, bool]]:
    """Return the positions of each block's columns, and whether it can have several, as blocks of numpy dtypes can."""
    blocks: dict[Any, list[int]] = {}
    for index, column in enumerate(columns):
        is_numpy = column.dtype in NUMPY_DTYPES or column.dtype == "object" or _is_naive_datetime(column)
        blocks.setdefault((is_numpy, column.dtype if is_numpy else index), []).append(index)
    return [(np.array(positions), is_numpy) for (is_numpy, _), positions in blocks.items()]


def make_builder(column: Column) -> Builder:
    """Return the function that builds a column."""
    if column.categories is not None:
        codes = {value: code for code, value in enumerate(column.categories.values)}
        return partial(_build_categorical, make_categorical_dtype(column.categories), codes)
    return _make_values_builder(column, column.missing)


def _make_values_builder(values: Values, marker_name: str | None = None) -> Builder:
    if values.dtype == "object":
        return partial(_build_objects, values.type is ValueType.DATE, MARKER_VALUES[marker_name or "none"])
    if values.dtype in NUMPY_DTYPES:
        return partial(np.array, dtype=values.dtype)
    if values.type is not ValueType.DATETIME:
        return partial(_build_extension, to_pandas_dtype(values.dtype), values.type is ValueType.DATE)
    unit = values.unit or Unit.NANOSECOND
    if _is_naive_datetime(values):
        return partial(_build_datetimes, unit)
    if values.dtype.startswith("datetime64"):
        return partial(_build_zoned_datetimes, unit, values.time_zone or "UTC")
    return partial(_build_arrow_datetimes, unit, to_pandas_dtype(values.dtype))


def make_categorical_dtype(categories: Categories) -> pd.CategoricalDtype:
    """Return the dtype of a categorical column."""
    values = _make_values_builder(categories)(categories.values)
    index = pd.Index(values, dtype=object if categories.dtype == "object" else None)
    return pd.CategoricalDtype(index, ordered=categories.ordered)


def _build_categorical(dtype: pd.CategoricalDtype, codes: dict[Any, int], values: Sequence[Any]) -> Any:
    return pd.Categorical.from_codes([codes.get(value, -1) for value in values], dtype=dtype)


def _build_objects(is_date: bool, marker: Any, values: Sequence[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    if is_date:
        values = [value and date.fromisoformat(value) for value in values]
    array[:] = [marker if value is None else value for value in values]
    return array


def _build_datetimes(unit: Unit, values: Sequence[str | None]) -> Any:
    # numpy parses no offset, so the final Z of UTC is removed.
    return np.array([value and value.removesuffix("Z") for value in values], dtype=f"datetime64[{unit}]")


def _build_zoned_datetimes(unit: Unit, time_zone: str, values: Sequence[str | None]) -> Any:
    return pd.DatetimeIndex(_build_datetimes(unit, values)).tz_localize("UTC").tz_convert(time_zone).array


def _build_arrow_datetimes(unit: Unit, dtype: Any, values: Sequence[str | None]) -> Any:
    moments = pd.Series(_build_datetimes(unit, values))
    is_zoned = dtype.pyarrow_dtype.tz is not None
    return (moments.dt.tz_localize("UTC") if is_zoned else moments).astype(dtype).array


def _build_extension(dtype: Any, is_date: bool, values: Sequence[Any]) -> Any:
    if is_date:
        values = [value and date.fromisoformat(value) for value in values]
    return pd.array(list(values), dtype=dtype)


def _is_naive_datetime(values: Values) -> bool:
    return values.dtype.startswith("datetime64") and values.time_zone is None


def to_pandas_dtype(dtype_name: str) -> Any:
    """Return the pandas dtype for the name of a dtype in a card."""
    if dtype_name in _STRING_DTYPES:
        return _STRING_DTYPES[dtype_name]
    if not dtype_name.startswith("arrow["):
        return pd.api.types.pandas_dtype(dtype_name)
    import pyarrow as pa

    inner = dtype_name.removeprefix("arrow[").removesuffix("]")
    if inner in {"string", "large_string"}:  # pandas reads `string[pyarrow]` as its own dtype
        return pd.ArrowDtype(getattr(pa, inner)())
    return pd.ArrowDtype.construct_from_string(f"{inner}[pyarrow]")
