"""The encoding of rows between the gateway and a pool process.

The store keeps encoded rows as bytes with the name of the encoding. The bytes of several members can be concatenated,
and split again by their lengths.
"""

from array import array
from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate, chain
from typing import Any, Final, cast

import msgspec

Row = Sequence[Any] | str
"""The values of one row in the card's order, in the form that `shared.columns` describes; or one text."""

_NAN: Final = float("nan")
_ARRAY32: Final = b"\xdd"  # MessagePack's array with a length of 32 bits


class Encoding(StrEnum):
    """The format of the bytes."""

    MATRIX = "float64"  # row-major, little-endian on all supported platforms; a missing value is NaN
    MESSAGEPACK = "msgpack"  # concatenated rows, each an array or a text


class EncodedRows(msgspec.Struct, frozen=True):
    """The encoded rows of a batch, or of one member."""

    content: bytes
    n_rows: int
    encoding: Encoding = Encoding.MATRIX


def encode_matrix(rows: Sequence[Sequence[float]], max_rows: int) -> list[EncodedRows]:
    """Encode rows of numbers as float64 matrices of at most `max_rows` rows each."""
    if len(rows) <= max_rows:  # the common case, on the hot path
        return [EncodedRows(array("d", chain.from_iterable(rows)).tobytes(), len(rows))]
    parts = (rows[start : start + max_rows] for start in range(0, len(rows), max_rows))
    return [EncodedRows(array("d", chain.from_iterable(part)).tobytes(), len(part)) for part in parts]


def encode_messagepack(rows: Sequence[Row], max_rows: int, max_bytes: int) -> list[EncodedRows]:
    """Encode rows in parts of at most `max_rows` rows and, unless one row is longer, `max_bytes` bytes each."""
    encoded = [_encode(row) for row in rows]
    if len(rows) <= max_rows and (len(rows) == 1 or sum(map(len, encoded)) <= max_bytes):
        return [EncodedRows(b"".join(encoded), len(rows), Encoding.MESSAGEPACK)]
    parts, start = [], 0
    while start < len(encoded):
        lengths = accumulate(map(len, encoded[start : start + max_rows]))
        n_rows = max(1, sum(length <= max_bytes for length in lengths))
        parts.append(EncodedRows(b"".join(encoded[start : start + n_rows]), n_rows, Encoding.MESSAGEPACK))
        start += n_rows
    return parts


def encode_one_batch(rows: Sequence[Row], encoding: Encoding) -> EncodedRows:
    """Encode any number of rows as the rows of one batch."""
    if encoding is Encoding.MESSAGEPACK:
        return EncodedRows(b"".join(map(_encode, rows)), len(rows), encoding)
    return encode_matrix(replace_missing_by_nan(rows), len(rows))[0]


def replace_missing_by_nan(rows: Sequence[Row]) -> list[list[float]]:
    """Replace each missing number by NaN, as in a matrix."""
    return [[_NAN if value is None else value for value in cast(Sequence[float | None], row)] for row in rows]


def decode(rows: EncodedRows) -> list[Any]:
    """Decode rows into lists of values, or texts."""
    if rows.encoding is Encoding.MESSAGEPACK:
        decoded: list[Any] = _decode(_ARRAY32 + rows.n_rows.to_bytes(4, "big") + rows.content)
        return decoded
    values = array("d", rows.content).tolist()
    n_columns = len(values) // rows.n_rows
    return [values[start : start + n_columns] for start in range(0, len(values), n_columns)]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
