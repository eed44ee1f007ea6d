"""Converts columns between Arrow and numpy without importing pandas.

`pyarrow.Array.to_numpy` and `pyarrow.array` import pandas: 64 MiB in each process, which a pipeline of matrices does
not need.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeGuard

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_FLOATS: Final = {"float": "float32", "double": "float64"}  # as Arrow names them


def arrow_to_numpy(array: pa.Array) -> NDArray[Any]:
    """Convert an Arrow array of numbers or booleans to numpy; missing floats become NaN.

    Args:
        array: of a fixed-width type; only floats may be missing.

    Returns:
        A view of the same memory, or a copy of booleans and if values are missing.
    """
    if array.null_count and not pa.types.is_floating(array.type):
        raise ValueError(f"a value is missing in a column of {array.type}")
    validity, values = array.buffers()
    if pa.types.is_boolean(array.type):
        return _unpack_bits(values, array)
    dtype = np.dtype(_FLOATS.get(str(array.type), str(array.type)))
    found = np.frombuffer(values, dtype=dtype, count=len(array), offset=array.offset * dtype.itemsize)
    return np.where(_unpack_bits(validity, array), found, dtype.type(np.nan)) if array.null_count else found


def copy_columns(table: pa.Table, target: NDArray[Any]) -> None:
    """Copy columns of numbers or booleans into an array of shape (n_rows, n_columns)."""
    start = 0
    for batch in table.to_batches():  # by record batch, whose rows fit into the processor's cache
        for index, column in enumerate(batch.columns):
            target[start : start + len(column), index] = arrow_to_numpy(column)
        start += batch.num_rows


def values_to_arrow(values: NDArray[Any], indices: NDArray[np.intp] | None, n_rows: int) -> pa.Array:
    """Convert numbers or booleans to an Arrow array of the same precision, of at most 64 bits.

    Args:
        values: shape (n_values,).
        indices: positions of the values in the result, whose other values are null; None if the values fill it.
        n_rows: length of the result, used with `indices`.
    """
    name = {"float16": "float32", "longdouble": "float64", "float128": "float64"}.get(
        values.dtype.name, values.dtype.name
    )
    validity = None
    if indices is None:
        data = np.ascontiguousarray(values, dtype=name)
    else:
        data, is_valid = np.zeros(n_rows, dtype=name), np.zeros(n_rows, dtype=np.bool_)
        data[indices], is_valid[indices] = values, True
        validity = _pack_bits(is_valid)
    if name == "bool":
        return pa.Array.from_buffers(pa.bool_(), len(data), [validity, _pack_bits(data)])
    return pa.Array.from_buffers(getattr(pa, name)(), len(data), [validity, pa.py_buffer(data)])


def strings_to_arrow(strings: Sequence[str | None]) -> pa.Array:
    """Convert strings to an Arrow array; None becomes null."""
    if are_strings(strings):
        return _make_string_array(strings, None)
    is_valid = np.fromiter((string is not None for string in strings), dtype=np.bool_, count=len(strings))
    return _make_string_array(["" if string is None else string for string in strings], _pack_bits(is_valid))


def are_strings(values: Sequence[Any]) -> TypeGuard[Sequence[str]]:
    """Return whether all values are strings, faster than by a check of each value."""
    try:
        "".join(values)
    except TypeError:
        return False
    return True


def _make_string_array(strings: Sequence[str], validity: pa.Buffer | None) -> pa.Array:
    content = "".join(strings)
    data = content.encode()
    is_ascii = len(data) == len(content)
    lengths = map(len, strings) if is_ascii else map(len, map(str.encode, strings))
    offsets = np.zeros(len(strings) + 1, dtype=np.int32)
    np.cumsum(np.fromiter(lengths, dtype=np.int32, count=len(strings)), out=offsets[1:])
    return pa.StringArray.from_buffers(len(strings), pa.py_buffer(offsets), pa.py_buffer(data), validity)


def _unpack_bits(buffer: pa.Buffer, array: pa.Array) -> NDArray[np.bool_]:
    """Unpack the bits of an array from its bitmap."""
    bits = np.unpackbits(np.frombuffer(buffer, dtype=np.uint8), count=array.offset + len(array), bitorder="little")
    return bits[array.offset :].view(np.bool_)


def _pack_bits(values: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
