"""Decodes rows into the pipeline's input: a matrix, a data frame of the library it was fitted with, or texts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.card import ModelCard
from shared.rows import EncodedRows, Encoding, decode

Decoder = Callable[[EncodedRows], Any]
"""Decodes the rows of one or more members; the rows keep their order."""


def make_decoder(card: ModelCard) -> Decoder:
    """Make the decoder of a model's rows; import the library of its data frames.

    Raises:
        ImportError: that library is not installed.
    """
    if card.input.kind == "text":
        return decode
    if card.input.library == "pandas":
        from worker.pool.pandas_frame import PandasDecoder  # imported here: other models do not need its memory

        return PandasDecoder(card.input.columns, card.input.names_dtype)
    if card.input.library == "polars":
        from worker.pool.polars_frame import PolarsDecoder  # likewise

        return PolarsDecoder(card.input.columns)
    return partial(_decode_matrix, np.dtype(card.input.columns[0].dtype), len(card.input.columns))


def _decode_matrix(dtype: np.dtype[Any], n_columns: int, rows: EncodedRows) -> NDArray[Any]:
    """Decode a matrix of shape (n_rows, n_columns), with the dtype of the training data.

    It is a copy, because a step of the pipeline may write into its input, and bytes are read-only.
    """
    if rows.encoding is Encoding.MATRIX:
        return np.frombuffer(rows.content, dtype=np.float64).reshape(rows.n_rows, n_columns).astype(dtype)
    return np.array(decode(rows), dtype=dtype)
