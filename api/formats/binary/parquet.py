"""Reads Parquet files."""

from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

import pyarrow as pa
from pyarrow import parquet

from api.formats.binary.record_batches import (
    READ_ERRORS,
    RecordBatchConverter,
    is_string_or_binary,
    one_line_message,
    unreadable_part_error,
)
from api.formats.binary.spool import spool
from api.formats.pieces import Piece
from api.formats.upload import Upload
from shared.errors import MalformedUpload
from shared.names import Output

_MAGIC: Final = b"PAR1"
_BATCH_BYTES: Final = 2**23
_MIN_ROWS: Final = 64
_MAX_ROWS: Final = 2**16
_MAX_DICTIONARY_GROUP_BYTES: Final = 3 * 2**24  # the largest row group whose columns are read as dictionaries
_BUFFER_BYTES: Final = 2**24  # for all columns together
_MIN_BUFFER_BYTES: Final = 2**13
_MAX_THRIFT_BYTES: Final = 2**24
_MAX_THRIFT_ITEMS: Final = 2**20
_MAX_DEPTH: Final = 32


class ParquetReader:
    """The rows of a Parquet file."""

    def __init__(self, upload: Upload) -> None:
        """Receive the body, and read its footer.

        Raises:
            MalformedUpload: the body is not Parquet.
            InvalidRows: a column is unknown, missing, duplicate, or of a wrong type.
            StorageFull: the temporary folder is full.
        """
        with spool(upload.body) as body:
            if body.read(len(_MAGIC)) != _MAGIC:
                raise MalformedUpload("The body is not Parquet: it does not begin with PAR1.")
            try:
                file = _open_parquet(body)
                schema = file.schema_arrow
                self._file = _open_parquet(body, file.metadata, _dictionary_columns(schema, file.metadata))
                self._arrow_columns = RecordBatchConverter(self._file.schema_arrow, upload)
            except READ_ERRORS as error:
                raise MalformedUpload(
                    f"The footer, which comes last, cannot be read: {one_line_message(error)}."
                ) from None
        self._names = [schema.names[index] for index in self._arrow_columns.indices]
        paths = [self._file.schema.column(index).path for index in range(len(self._file.schema))]
        self._leaves = [(index, path) for index, path in enumerate(paths) if path in self._names]
        self.carried = self._arrow_columns.carried

    def outputs(self) -> tuple[Output, ...]:
        """Return no outputs: only the query string can request them."""
        return ()

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows in pieces.

        Raises:
            MalformedUpload: a row group cannot be read, or contradicts the footer.
        """
        first_row = 0
        for group in range(self._file.num_row_groups):
            n_rows = 0
            part = f"Row group {group}"
            try:
                for batch in self._read_batches(group):
                    batch.validate(full=True)
                    yield from self._arrow_columns.pieces(batch, first_row + n_rows)
                    n_rows += batch.num_rows
            except READ_ERRORS as error:
                raise unreadable_part_error(part, first_row + n_rows, error) from None
            if (problem := self._find_contradiction(group, n_rows)) is not None:
                raise unreadable_part_error(part, first_row, problem)
            first_row += n_rows
        if first_row != self._file.metadata.num_rows:
            raise unreadable_part_error("The rest", first_row, f"the footer states {self._file.metadata.num_rows} rows")

    def _find_contradiction(self, group_index: int, n_rows: int) -> str | None:
        """Return how the footer contradicts a row group that has been read; None if it does not."""
        metadata = self._file.metadata.row_group(group_index)
        if metadata.num_rows != n_rows:
            return f"it has {n_rows} rows, but the footer states {metadata.num_rows}"
        for index, name in self._leaves:  # the metadata of other columns may crash pyarrow
            if (n_values := metadata.column(index).num_values) != n_rows:
                return f"it has {n_rows} rows, but the footer states {n_values} for {name}"
        return None

    def _read_batches(self, group_index: int) -> Iterator[Any]:
        """Yield a row group in record batches of about 8 MiB, by the size in its metadata."""
        metadata = self._file.metadata.row_group(group_index)
        rows = _BATCH_BYTES * metadata.num_rows // max(metadata.total_byte_size, 1)
        size = min(max(rows, _MIN_ROWS), _MAX_ROWS)
        batches: Iterator[Any] = self._file.iter_batches(size, [group_index], self._names, use_threads=False)
        return batches


def _dictionary_columns(schema: Any, metadata: Any) -> list[str]:
    """Return the string columns to read as dictionaries; none if a row group is too large for that."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    if any(group.total_byte_size > _MAX_DICTIONARY_GROUP_BYTES for group in groups):
        return []
    return [name for name, type_ in zip(schema.names, schema.types, strict=True) if is_string_or_binary(type_)]


def _open_parquet(body: IO[bytes], metadata: Any = None, dictionary_columns: Sequence[str] | None = None) -> Any:
    """Open the temporary file again, as a Parquet file with limits on its metadata."""
    n_columns = 1 if metadata is None else max(metadata.num_columns, 1)
    return parquet.ParquetFile(
        pa.OSFile(f"/dev/fd/{body.fileno()}"),
        metadata=metadata,
        read_dictionary=dictionary_columns,
        buffer_size=max(_BUFFER_BYTES // n_columns, _MIN_BUFFER_BYTES),
        pre_buffer=False,
        thrift_string_size_limit=_MAX_THRIFT_BYTES,
        thrift_container_size_limit=_MAX_THRIFT_ITEMS,
        schema_depth_limit=_MAX_DEPTH,
        page_checksum_verification=True,
        arrow_extensions_enabled=False,
    )
