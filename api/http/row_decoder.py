"""Decodes a body whose rows need no conversion in one call of msgspec, with a type made from the model card."""

from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.values import MAX_FLOAT32
from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Column, Values, ValueType
from shared.rows import Row

_MAX_COLUMNS: Final = 64  # of an object: msgspec takes 10 ns for each field that it skips in search of a member
_MAX_CATEGORIES: Final = 1000  # building the decoder takes 8 µs for each category
_MAX_INT64: Final = 2**63 - 1  # the largest bound that msgspec accepts
_BYTES_PER_CHARACTER: Final = 4  # at most, in UTF-8


class RowDecoder:
    """Decodes bodies whose rows need no conversion. It reports no errors, and does not accept every valid body."""

    def __init__(self, columns: Sequence[Column], max_rows: int, max_text_bytes: int) -> None:
        """Build the decoders.

        Args:
            columns: the columns of a matrix or table.
            max_rows: the maximum number of rows in a body.
            max_text_bytes: the maximum size of a string.
        """
        types = [_unconverted_type(column, max_text_bytes) for column in columns]
        self._n_columns = len(columns)
        self._arrays: msgspec.json.Decoder[Any] | None = None
        self._objects: msgspec.json.Decoder[Any] | None = None
        if all(each is not None for each in types):
            self._arrays = _body_decoder(GenericAlias(tuple, tuple(types)), max_rows)
            names = [column.name for column in columns]
            if len(names) <= _MAX_COLUMNS and all(map(_can_be_field_name, names)):
                self._objects = _body_decoder(_object_type(names, types), max_rows)

    def __call__(self, body: bytes) -> tuple[Sequence[Row], list[str] | UnsetType] | None:
        """Decode a body.

        Returns:
            The rows, with their values in the card's order, and the requested outputs, unchecked; None if the body must
            be read row by row.
        """
        # msgspec silently keeps the last of repeated members. Each member has a colon: if there are no more colons than
        # different members, none is repeated.
        n_colons = body.count(b":")
        n_members = 2 if b'"outputs"' in body else 1
        decoder = self._arrays if n_colons == n_members else self._objects
        if decoder is None:
            return None
        try:
            decoded = decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        rows: list[Any] = decoded.data
        if (decoded.outputs is UNSET) is (n_members == 2):  # "outputs" is in the body, but not as this member
            return None
        if decoder is self._arrays:
            return rows, decoded.outputs
        if n_colons != n_members + len(rows) * self._n_columns:
            return None
        return list(map(msgspec.structs.astuple, rows)), decoded.outputs


def _body_decoder(row_type: Any, max_rows: int) -> msgspec.json.Decoder[Any]:
    rows = Annotated[list[row_type], Meta(min_length=1, max_length=max_rows)]
    fields: list[Any] = [("data", rows), ("outputs", list[str] | UnsetType, UNSET)]
    return msgspec.json.Decoder(msgspec.defstruct("Body", fields, forbid_unknown_fields=True))


def _object_type(names: list[str], types: list[Any]) -> Any:
    fields = [(f"column_{index}", each) for index, each in enumerate(types)]
    renamed = {field: name for (field, _), name in zip(fields, names, strict=True)}
    return msgspec.defstruct("Row", fields, rename=renamed, forbid_unknown_fields=True, gc=False)


def _can_be_field_name(name: str) -> bool:
    """Return whether msgspec can match the name, which it compares with JSON without decoding escapes."""
    return name.isprintable() and not {'"', "\\"} & set(name)


def _unconverted_type(column: Column, max_text_bytes: int) -> Any:
    """Return the type of values that are encoded unchanged; None if the column's values must be converted."""
    plain = _category_type(column) if column.categories is not None else _value_type(column, max_text_bytes)
    return plain | None if plain is not None and column.nullable else plain


def _category_type(column: Column) -> Any:
    assert column.categories is not None, "called for categorical columns"
    known = column.categories.values
    is_plain = column.categories.type is ValueType.STRING and 1 <= len(known) <= _MAX_CATEGORIES
    return Literal[known] if is_plain else None


def _value_type(values: Values, max_text_bytes: int) -> Any:
    if values.type is ValueType.FLOAT32:
        return Annotated[float, Meta(gt=-MAX_FLOAT32, lt=MAX_FLOAT32)]
    if values.type in FLOAT_TYPES:
        return float
    if values.type in INTEGER_RANGES:
        smallest, largest = INTEGER_RANGES[values.type]
        return Annotated[int, Meta(ge=smallest, le=min(largest, _MAX_INT64))]
    if values.type is ValueType.STRING:
        return Annotated[str, Meta(max_length=max_text_bytes // _BYTES_PER_CHARACTER)]
    return bool if values.type is ValueType.BOOL else None
