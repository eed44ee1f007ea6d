"""Decodes whole pieces of valid JSON rows with msgspec, by types made from the model card.

Like `api.http.row_decoder`, it reports no errors, and does not accept all valid rows.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from operator import attrgetter
from types import GenericAlias
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import NODEFAULT, UNSET, Raw, UnsetType

from api.formats.conversion.carried import encode_carried_json
from api.formats.conversion.columns import decoded_type
from api.formats.json.number_arrays import NumberArrayParser
from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Column, ValueType

Decode = Callable[[bytes], list[Any]]
"""Decodes the rows of a piece; raises `msgspec.DecodeError` or `UnicodeDecodeError`."""

_MEMBER: Final = re.compile(rb'"[ \t\r\n]*:')


class RowForm(Enum):
    """The form of the rows of an upload, which is that of the first row."""

    ARRAY = "arrays"
    OBJECT = "objects"
    TEXT = "texts"

    @classmethod
    def detect(cls, row: bytes) -> "RowForm":
        """Return the form of a row by its first byte: neither `[` nor `{` means text."""
        return {b"[": cls.ARRAY, b"{": cls.OBJECT}.get(row[:1], cls.TEXT)


class DecodedColumns(NamedTuple):
    """The decoded columns of rows."""

    features: Sequence[Any]
    """Arrow arrays of the types that `decoded_type` returns."""
    carried: Sequence[Any]


class PieceDecoder:
    """Decodes pieces of rows of one form."""

    def __init__(
        self, columns: Sequence[Column], carried_names: Sequence[str], form: RowForm, *, is_ndjson: bool
    ) -> None:
        """Build the decoders.

        Args:
            columns: the columns of the model card.
            carried_names: the names of the carried columns.
            form: the form of the rows.
            is_ndjson: whether the rows of a piece are lines; otherwise they are separated by commas.
        """
        decoder = _line_decoder if is_ndjson else _item_decoder
        self._types = [decoded_type(column) for column in columns]
        types = [_python_type(column) for column in columns]
        self._decode_columns: Callable[[bytes], tuple[Sequence[Any], Sequence[Any]] | None]
        if form is RowForm.OBJECT:
            self._decode_columns = _ObjectDecoder(columns, types, carried_names, decoder)
        elif form is RowForm.ARRAY:
            numbers = (
                NumberArrayParser(len(columns), is_ndjson=is_ndjson) if all(each is float for each in types) else None
            )
            self._decode_columns = _ArrayDecoder(decoder(GenericAlias(tuple, tuple(types))), numbers)
        else:
            self._decode_columns = _StringDecoder(decoder(types[0]))

    def __call__(self, content: bytes) -> DecodedColumns | None:
        """Decode a piece; return None if it must be read row by row."""
        try:
            decoded = self._decode_columns(content)
            if decoded is None:
                return None
            features = [
                values if isinstance(values, pa.Array) else pa.array(values, type_)
                for values, type_ in zip(decoded[0], self._types, strict=True)
            ]
            return DecodedColumns(features, [_encode_carried(values) for values in decoded[1]])
        except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, pa.ArrowException):
            return None


class _StringDecoder:
    """Decodes rows that are strings."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode

    def __call__(self, content: bytes) -> tuple[Sequence[Any], Sequence[Any]]:
        return [self._decode(content)], []


class _ArrayDecoder:
    """Decodes rows that are arrays."""

    def __init__(self, decode: Decode, number_parser: NumberArrayParser | None) -> None:
        self._decode = decode
        self._numbers = number_parser

    def __call__(self, content: bytes) -> tuple[Sequence[Any], Sequence[Any]]:
        columns = self._numbers(content) if self._numbers is not None else None
        return columns or list(zip(*self._decode(content), strict=True)), []


class _ObjectDecoder:
    """Decodes rows that are objects."""

    def __init__(
        self,
        columns: Sequence[Column],
        types: Sequence[Any],
        carried_names: Sequence[str],
        decoder: Callable[[Any], Decode],
    ) -> None:
        names = [column.name for column in columns]
        carried_only = [name for name in carried_names if name not in names]
        shared = [name for name in carried_names if name in names]
        fields = [
            (type_ | UnsetType, UNSET) if column.nullable else (type_, NODEFAULT)
            for column, type_ in zip(columns, types, strict=True)
        ]
        raw = (Raw | UnsetType, UNSET)
        self._types = [decoded_type(column) for column in columns]
        self._carried_only = carried_only
        self._shared = shared
        self._carried = carried_names
        self._decode = self._decode_shared = None
        if all(map(_can_be_field_name, (*names, *carried_names))):
            self._decode = decoder(
                _define_struct([*names, *carried_only], [*fields, *[raw] * len(carried_only)], is_strict=True)
            )
            if shared:
                self._decode_shared = decoder(_define_struct(shared, [raw] * len(shared), is_strict=False))

    def __call__(self, content: bytes) -> tuple[Sequence[Any], Sequence[Any]] | None:
        if self._decode is None:
            return None
        rows = self._decode(content)
        features: list[Any] = []
        n_absent = 0
        for index, type_ in enumerate(self._types):
            values = _field_values(rows, index)
            try:
                features.append(pa.array(values, type_))
            except pa.ArrowException:  # some are UNSET; this is the fastest way to find out
                n_absent += values.count(UNSET)
                features.append(pa.array([None if value is UNSET else value for value in values], type_))
        carried = {name: _field_values(rows, index) for index, name in enumerate(self._carried_only, len(features))}
        n_absent += sum(values.count(UNSET) for values in carried.values())
        if not _has_member_count(
            content, len(rows) * (len(features) + len(carried)) - n_absent
        ):  # a member is duplicate
            return None
        if self._decode_shared is not None:
            shared = self._decode_shared(content)
            carried |= {name: _field_values(shared, index) for index, name in enumerate(self._shared)}
        return features, [carried[name] for name in self._carried]


def _python_type(column: Column) -> Any:
    values = column.categories or column
    plain: Any = str
    if values.type in FLOAT_TYPES:
        plain = float
    elif values.type in INTEGER_RANGES:
        plain = int
    elif values.type is ValueType.BOOL:
        plain = bool
    return plain | None if column.nullable else plain


def _item_decoder(row_type: Any) -> Decode:
    decode = msgspec.json.Decoder(GenericAlias(list, (row_type,))).decode
    return lambda content: decode(b"[%b]" % content)


def _line_decoder(row_type: Any) -> Decode:
    return msgspec.json.Decoder(row_type).decode_lines


def _define_struct(names: Sequence[str], fields: Sequence[tuple[Any, Any]], *, is_strict: bool) -> Any:
    defined = [(f"column_{index}", *field) for index, field in enumerate(fields)]
    renamed = {field[0]: name for field, name in zip(defined, names, strict=True)}
    return msgspec.defstruct("Row", defined, rename=renamed, forbid_unknown_fields=is_strict, gc=False, kw_only=True)


def _field_values(rows: Sequence[Any], index: int) -> list[Any]:
    return list(map(attrgetter(f"column_{index}"), rows))


def _can_be_field_name(name: str) -> bool:
    """Whether a name can be matched by msgspec, which compares it with the JSON text without unescaping."""
    return name.isprintable() and not {'"', "\\"} & set(name)


def _has_member_count(content: bytes, n_members: int) -> bool:
    """Whether objects that have at least `n_members` members in total have no more."""
    return content.count(b":") == n_members or len(_MEMBER.findall(content)) == n_members


def _encode_carried(values: Sequence[Any]) -> Any:
    texts = [None if value is UNSET else encode_carried_json(bytes(value)) for value in values]
    return pa.array(texts, pa.string())
