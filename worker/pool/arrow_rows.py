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
from worker.pool.arrow_arrays import copy_columns

Converter = Callable[[pa.Table], Any]
"""Converts the feature columns of at least one row, in order."""


def make_converter(card: ModelCard) -> Converter:
    """Make the converter of a model's rows; import the library of its data frames.

    Raises:
        ImportError: that library is not installed.
    """
    columns = card.input.columns
    if card.input.kind == "text":
        return _convert_texts
    if card.input.library == "pandas":
        from worker.pool.arrow_pandas import ArrowToPandas  # imported here: other models do not need its memory

        return ArrowToPandas(columns, card.input.names_dtype).convert_table
    if card.input.library == "polars":
        from worker.pool.arrow_polars import ArrowToPolars  # likewise

        return ArrowToPolars(columns).convert_table
    return partial(_convert_matrix, np.dtype(columns[0].dtype))


def _convert_matrix(dtype: np.dtype[Any], table: pa.Table) -> NDArray[Any]:
    """Convert into a matrix of shape (n_rows, n_columns)."""
    matrix = np.empty((table.num_rows, table.num_columns), dtype=dtype)
    copy_columns(table, matrix)
    return matrix


def _convert_texts(table: pa.Table) -> list[str]:
    texts: list[str] = table.column(0).to_pylist()
    return texts
