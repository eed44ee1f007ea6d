"""Converts canonical rows into the pipeline's input, equal to what `worker.pool.rows` decodes from requests.

Columns of numbers, booleans and strings are converted as a whole; columns of other types value by value, by the
functions of the decoder.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared.card import ModelCard
from worker.pool.arrow_arrays import fill

Convert = Callable[[pa.Table], Any]
"""Converts the feature columns of at least one row, in order."""


def converter_for(card: ModelCard) -> Convert:
    """Make the converter of a model's rows; import the library of its data frames.

    Raises:
        ImportError: that library is not installed.
    """
    columns = card.input.columns
    if card.input.kind == "text":
        return _texts
    if card.input.library == "pandas":
        from worker.pool.arrow_pandas import PandasTable  # here: other models do not need its memory

        return PandasTable(columns, card.input.names_dtype).of_table
    if card.input.library == "polars":
        from worker.pool.arrow_polars import PolarsTable  # likewise

        return PolarsTable(columns).of_table
    return partial(_matrix, np.dtype(columns[0].dtype))


def _matrix(dtype: np.dtype[Any], table: pa.Table) -> NDArray[Any]:
    """Convert into a matrix of shape (n_rows, n_columns)."""
    matrix = np.empty((table.num_rows, table.num_columns), dtype=dtype)
    fill(table, matrix)
    return matrix


def _texts(table: pa.Table) -> list[str]:
    texts: list[str] = table.column(0).to_pylist()
    return texts
