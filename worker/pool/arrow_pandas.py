"""Converts canonical rows into pandas data frames, equal to those of `PandasDecoder`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from shared.columns import FLOAT_TYPES, Categories, Column, ValueType
from worker.pool.arrow_arrays import copy_columns
from worker.pool.pandas_frame import (
    MARKER_VALUES,
    NUMPY_DTYPES,
    Builder,
    PandasDecoder,
    make_builder,
    make_categorical_dtype,
    to_pandas_dtype,
)

Converter = Callable[[pa.Array], Any]
"""Takes a stored column and returns an array of shape (n_rows,)."""

_DATE_TYPES: Final = frozenset({ValueType.DATE, ValueType.DATETIME})  # stored as strings


class ArrowToPandas(PandasDecoder):
    """Converts Arrow tables of canonical rows into data frames."""

    def __init__(self, columns: Sequence[Column], names_dtype: str | None) -> None:
        super().__init__(columns, names_dtype)
        self._converters = [_make_converter(column) for column in columns]
        self._dtypes = [column.dtype for column in columns]

    def convert_table(self, table: pa.Table) -> pd.DataFrame:
        """Convert the feature columns, in order."""
        return self._join_blocks([self._convert_block(table, *block) for block in self._blocks], table.num_rows)

    def _convert_block(self, table: pa.Table, positions: Any, is_numpy: bool) -> Any:
        part, dtype = table.select(positions.tolist()), self._dtypes[positions[0]]
        if dtype in NUMPY_DTYPES:
            block = np.empty((part.num_columns, part.num_rows), dtype=dtype)
            copy_columns(part, block.T)
            return block
        converters = [self._converters[index] for index in positions]
        arrays = [
            convert(pa.concat_arrays(column.chunks)) for convert, column in zip(converters, part.columns, strict=True)
        ]
        return np.stack(arrays) if is_numpy else arrays[0]


def _make_converter(column: Column) -> Converter:
    if column.categories is not None:
        return partial(_convert_categories, column.categories, make_categorical_dtype(column.categories))
    if column.dtype == "object" and column.type is ValueType.STRING:
        return partial(_convert_strings, MARKER_VALUES[column.missing or "none"])
    if column.dtype == "object" or column.type in _DATE_TYPES:
        return partial(_convert_by_value, make_builder(column))
    return partial(_convert_extension, to_pandas_dtype(column.dtype))


def _convert_categories(categories: Categories, dtype: pd.CategoricalDtype, array: pa.Array) -> Any:
    values = pa.array(categories.values, array.type)
    if categories.type in FLOAT_TYPES:  # Arrow distinguishes -0.0 from 0.0, Python does not
        array, values = (pc.add(each, pa.scalar(0, array.type)) for each in (array, values))
    codes = pc.index_in(array, value_set=values).fill_null(-1)
    return pd.Categorical.from_codes(codes.to_numpy(), dtype=dtype)


def _convert_strings(marker: Any, array: pa.Array) -> Any:
    objects = array.to_numpy(zero_copy_only=False)
    if marker is not None and array.null_count:
        objects[pc.is_null(array).to_numpy(zero_copy_only=False)] = marker
    return objects


def _convert_by_value(builder: Builder, array: pa.Array) -> Any:
    return builder(array.to_pylist())


def _convert_extension(dtype: Any, array: pa.Array) -> Any:
    return dtype.__from_arrow__(array)
