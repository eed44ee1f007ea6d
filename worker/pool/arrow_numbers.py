"""Converts numbers and booleans between Arrow and numpy without pandas.

`pyarrow.Array.to_numpy` and `pyarrow.array` import pandas: 64 MiB in each process, which a pipeline of matrices does
not need.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_FLOATS: Final = {"float": "float32", "double": "float64"}  # as Arrow names them


def numbers(array: pa.Array) -> NDArray[Any]:
    """Convert numbers or booleans; NaN is where a float is missing.

    Args:
        array: of a fixed width; only floats may have missing values.

    Returns:
        The same memory, except of booleans and if values are missing.
    """
    if array.null_count and not pa.types.is_floating(array.type):
        raise ValueError(f"a value is missing in a column of {array.type}")
    validity, values = array.buffers()
    if pa.types.is_boolean(array.type):
        return _bits(values, array)
    dtype = np.dtype(_FLOATS.get(str(array.type), str(array.type)))
    found = np.frombuffer(values, dtype=dtype, count=len(array), offset=array.offset * dtype.itemsize)
    return np.where(_bits(validity, array), found, dtype.type(np.nan)) if array.null_count else found


def fill(columns: list[pa.ChunkedArray], found: NDArray[Any]) -> None:
    """Copy columns of numbers or booleans into the columns of an array, shape (n_rows, n_columns)."""
    for index, column in enumerate(columns):
        start = 0
        for chunk in column.chunks:
            found[start : start + len(chunk), index] = numbers(chunk)
            start += len(chunk)


def _bits(buffer: pa.Buffer, array: pa.Array) -> NDArray[np.bool_]:
    """Unpack the bits of a bitmap that belong to an array."""
    bits = np.unpackbits(np.frombuffer(buffer, dtype=np.uint8), count=array.offset + len(array), bitorder="little")
    return bits[array.offset :].view(np.bool_)
