"""What the pipeline is given: decoded rows."""

import numpy as np
from numpy.typing import NDArray

from shared.rows import EncodedRows, Encoding

Rows = NDArray[np.float64]
"""Shape (n_rows, n_features), columns in the card's order."""


def decode(rows: EncodedRows, n_features: int) -> Rows:
    """Read encoded rows, of which the shares of many members may follow one another; nothing is copied."""
    assert rows.encoding is Encoding.MATRIX, "no other is written"
    return np.frombuffer(rows.content, dtype=np.float64).reshape(rows.n_rows, n_features)
