"""How rows are laid out on their way from the gateway to a pool process. No numerics: bytes, and how many rows.

Whoever carries rows, the store among them, sees bytes and the name of their encoding. The shares of several members
may be put one after the other, and be cut again where their lengths say.
"""

from array import array
from collections.abc import Sequence
from enum import StrEnum
from itertools import chain

import msgspec


class Encoding(StrEnum):
    """What the bytes of rows mean."""

    MATRIX = "float64"  # row-major, in this machine's byte order: little-endian on all we support


class EncodedRows(msgspec.Struct, frozen=True):
    """Rows that travel together: all of a small prediction's, or a child's share of a large one's."""

    content: bytes
    n_rows: int
    encoding: Encoding = Encoding.MATRIX


def encode_matrix(rows: Sequence[Sequence[float]], max_rows: int) -> list[EncodedRows]:
    """Write rows as float64 matrices of at most `max_rows` rows each."""
    if len(rows) <= max_rows:  # nearly always, and then every microsecond counts
        return [EncodedRows(array("d", chain.from_iterable(rows)).tobytes(), len(rows))]
    parts = (rows[start : start + max_rows] for start in range(0, len(rows), max_rows))
    return [EncodedRows(array("d", chain.from_iterable(part)).tobytes(), len(part)) for part in parts]


def decode_matrix(rows: EncodedRows) -> list[list[float]]:
    """Read a matrix back, for people."""
    values = array("d", rows.content).tolist()
    n_columns = len(values) // rows.n_rows
    return [values[start : start + n_columns] for start in range(0, len(values), n_columns)]
