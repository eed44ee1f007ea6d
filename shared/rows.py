"""The encoding of rows between the gateway and a pool process. No numerics: bytes and a number of rows.

The store handles rows as bytes with the name of their encoding. The rows of several members can be concatenated, and
separated again by their lengths.
"""

from array import array
from collections.abc import Sequence
from enum import StrEnum
from itertools import chain

import msgspec


class Encoding(StrEnum):
    """The format of the bytes."""

    MATRIX = "float64"  # row-major, in this machine's byte order: little-endian on all supported platforms


class EncodedRows(msgspec.Struct, frozen=True):
    """The encoded rows of a batch, or of one member."""

    content: bytes
    n_rows: int
    encoding: Encoding = Encoding.MATRIX


def encode_matrix(rows: Sequence[Sequence[float]], max_rows: int) -> list[EncodedRows]:
    """Encode rows as float64 matrices of at most `max_rows` rows each."""
    if len(rows) <= max_rows:  # the common case, on the hot path
        return [EncodedRows(array("d", chain.from_iterable(rows)).tobytes(), len(rows))]
    parts = (rows[start : start + max_rows] for start in range(0, len(rows), max_rows))
    return [EncodedRows(array("d", chain.from_iterable(part)).tobytes(), len(part)) for part in parts]


def decode_matrix(rows: EncodedRows) -> list[list[float]]:
    """Decode a float64 matrix into lists of numbers."""
    values = array("d", rows.content).tolist()
    n_columns = len(values) // rows.n_rows
    return [values[start : start + n_columns] for start in range(0, len(values), n_columns)]
