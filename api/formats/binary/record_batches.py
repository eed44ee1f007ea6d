"""Converts record batches of Arrow and Parquet to canonical columns."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion.carried import encode_carried_strings
from api.formats.conversion.columns import ColumnConverter, ConvertedColumn, WrongType, canonical_type
from api.formats.conversion.dictionaries import DictionaryConverter
from api.formats.matching import displayed_name, match_columns
from api.formats.pieces import Piece, bad_values_by_row
from api.formats.upload import Upload
from shared.columns import Column
from shared.errors import BodyTooLarge, Fault, InvalidRows, MalformedUpload

_PIECE_ROWS: Final = 2**16
_PIECE_BYTES: Final = 2**23
_PANDAS_INDEX_NAME: Final = re.compile(r"__index_level_\d+__")  # the index of a pandas data frame
_TEXT_TYPE_CHECKS: Final = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
)  # fmt: skip
_CARRIED_TYPE_CHECKS: Final = (
    pa.types.is_boolean, pa.types.is_integer, pa.types.is_float32, pa.types.is_float64, pa.types.is_decimal,
    pa.types.is_date32, pa.types.is_time, pa.types.is_timestamp, pa.types.is_null,
)  # fmt: skip


READ_ERRORS: Final = (pa.ArrowException, OSError, UnicodeDecodeError)
"""The errors that pyarrow raises for invalid data; UnicodeDecodeError for a column name."""


class RecordBatchConverter:
    """Matches and converts the columns of an upload."""

    def __init__(self, schema: Any, upload: Upload) -> None:
        """Match the columns to the model card, and plan their conversion.

        Args:
            schema: the schema of the upload.
            upload: the upload.

        Raises:
            InvalidRows: a column is unknown, missing, duplicate, or of a wrong type.
        """
        carried = upload.job.carried
        wanted = {*carried, *(column.name for column in upload.columns)}
        self.indices = [
            i for i, name in enumerate(schema.names) if name in wanted or not _PANDAS_INDEX_NAME.fullmatch(name)
        ]
        """The indices of the columns to read."""
        names = [schema.names[index] for index in self.indices]
        types = [schema.types[index] for index in self.indices]
        self._columns = upload.columns
        self._features, self._carried = match_columns(names, upload.columns, carried, "Column")
        faults: list[Fault] = []
        self._converters = [
            None if index is None else _make_converter(column, types[index], upload.settings.max_text_bytes, faults)
            for column, index in zip(upload.columns, self._features, strict=True)
        ]
        self.carried = [_carried_type(names[index], types[index], faults) for index in self._carried]
        """The types of the carried columns."""
        if faults:
            raise InvalidRows(faults)

    def pieces(self, batch: Any, first_row: int) -> Iterator[Piece]:
        """Convert a record batch of the columns to read.

        Args:
            batch: the record batch, which has been validated.
            first_row: the number of its first row in the upload.
        """
        for start in range(0, batch.num_rows, _PIECE_ROWS):
            rows = batch.slice(start, _PIECE_ROWS)
            for part_start, part in _cut_into_parts([_storage_array(column) for column in rows.columns]):
                yield self._convert_piece(part, first_row + start + part_start)

    def _convert_piece(self, arrays: Sequence[Any], first_row: int) -> Piece:
        n_rows = len(arrays[0])
        converted = [
            ConvertedColumn(pa.nulls(n_rows, canonical_type(column)), {})
            if index is None or convert is None
            else convert(arrays[index])
            for column, index, convert in zip(self._columns, self._features, self._converters, strict=True)
        ]
        return Piece(
            [each.array for each in converted],
            [_convert_carried(arrays[index], type_) for index, type_ in zip(self._carried, self.carried, strict=True)],
            bad_values_by_row(self._columns, [each.bad for each in converted]),
            lambda rows: [f"Row {first_row + row}" for row in rows],
        )


def unreadable_part_error(part: str, row: int, error: Exception | str) -> MalformedUpload | BodyTooLarge:
    """Return the error for a part of an upload that cannot be read.

    Args:
        part: the name of the part.
        row: the first row of the part that was not read.
        error: the error of pyarrow, or the problem.
    """
    place = f"{part}, from row {row} on, cannot be read"
    if isinstance(error, MemoryError):
        return BodyTooLarge(f"{place}: it takes more memory than a process may have. Send smaller ones.")
    detail = f"{place}: {one_line_message(error)}."
    return MalformedUpload(detail, [Fault(f"/data/{row}", detail)])


def one_line_message(error: Exception | str) -> str:
    """Return the message of an error on one line, without a final period."""
    return " ".join(str(error).split()).rstrip(" .")


def is_string_or_binary(type_: Any) -> bool:
    """Whether a type is a string, or bytes, which may be UTF-8 strings."""
    return any(is_kind(type_) for is_kind in _TEXT_TYPE_CHECKS)


def _make_converter(
    column: Column, type_: Any, max_text_bytes: int, faults: list[Fault]
) -> Callable[[Any], ConvertedColumn] | None:
    source = _storage_type(type_)
    try:
        if pa.types.is_dictionary(source):
            nullable = column.model_copy(update={"nullable": True})
            inner = ColumnConverter(nullable, source.value_type, max_text_bytes)
            return DictionaryConverter(inner, is_nullable=column.nullable)
        return ColumnConverter(column, source, max_text_bytes)
    except WrongType as error:
        faults.append(Fault("", f"Column {displayed_name(column.name)}: {error}"))
        return None


def _carried_type(name: str, type_: Any, faults: list[Fault]) -> Any:
    source = _storage_type(type_)
    if pa.types.is_dictionary(source):
        source = source.value_type
    if is_string_or_binary(source):
        return pa.string()
    if not any(is_kind(source) for is_kind in _CARRIED_TYPE_CHECKS):
        faults.append(
            Fault("", f"Column {displayed_name(name)}: the type {source} cannot be carried: convert it to strings.")
        )
    return source


def _convert_carried(array: Any, type_: Any) -> Any:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary.take(array.indices)
    return encode_carried_strings(array.cast(type_)) if pa.types.is_string(type_) else array


def _storage_type(type_: Any) -> Any:
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


def _storage_array(array: Any) -> Any:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _cut_into_parts(arrays: Sequence[Any], start: int = 0) -> Iterator[tuple[int, Sequence[Any]]]:
    """Halve columns until a part takes at most 8 MiB with dictionaries replaced by their values."""
    n_rows = len(arrays[0])
    if n_rows < 2 or sum(map(_count_decoded_bytes, arrays)) <= _PIECE_BYTES:
        yield start, arrays
        return
    half = n_rows // 2
    yield from _cut_into_parts([array.slice(0, half) for array in arrays], start)
    yield from _cut_into_parts([array.slice(half) for array in arrays], start + half)


def _count_decoded_bytes(array: Any) -> int:
    if pa.types.is_dictionary(array.type) and is_string_or_binary(array.type.value_type):
        lengths = _byte_lengths(array.dictionary)
        return pc.sum(lengths.take(array.indices)).as_py() or 0
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        return pc.sum(_byte_lengths(array)).as_py() or 0
    return int(array.nbytes)


def _byte_lengths(texts: Any) -> Any:
    """Return the length of each string in bytes, without a copy of the strings."""
    if not pa.types.is_string_view(texts.type) and not pa.types.is_binary_view(texts.type):
        return pc.binary_length(texts).cast(pa.int64())
    # A string view is 16 bytes; the first 4 are the length.
    words = pa.Array.from_buffers(pa.int32(), 4 * (texts.offset + len(texts)), [None, texts.buffers()[1]])
    lengths = pc.list_element(pa.FixedSizeListArray.from_arrays(words, 4).slice(texts.offset), 0)
    return pc.if_else(pc.is_valid(texts), lengths, None).cast(pa.int64())
