"""Decodes rows into the array that the pipeline takes."""

import numpy as np
from numpy.typing import NDArray

from shared.rows import EncodedRows, Encoding

Rows = NDArray[np.float64]
"""Shape (n_rows, n_features), columns in the card's order."""


def decode(rows: EncodedRows, n_features: int) -> Rows:
    """Decode the rows of one or more members without copying them."""
    assert rows.encoding is Encoding.MATRIX, "gateways write no other encoding"
    return np.frombuffer(rows.content, dtype=np.float64).reshape(rows.n_rows, n_features)
