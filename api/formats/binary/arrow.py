"""Reads Arrow streams and Arrow files."""

import mmap
import os
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from api.formats.binary.record_batches import READ_ERRORS, RecordBatchConverter, one_line_message, unreadable_part_error
from api.formats.binary.spool import spool
from api.formats.pieces import Piece
from api.formats.upload import Upload
from shared.errors import MalformedUpload
from shared.names import Output

_FILE_MAGIC: Final = b"ARROW1"
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\0\0\0\0"
"""The end-of-stream marker."""


class ArrowReader:
    """The rows of an Arrow stream or file."""

    def __init__(self, upload: Upload) -> None:
        """Receive the body, and read its schema.

        Raises:
            MalformedUpload: the body is not Arrow.
            InvalidRows: a column is unknown, missing, duplicate, or of a wrong type.
            StorageFull: the temporary folder is full.
        """
        with spool(upload.body) as file:
            is_file = file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
            self._n_bytes = file.seek(0, os.SEEK_END)
            if not self._n_bytes:
                raise MalformedUpload("The body is empty: an Arrow stream begins with its schema.")
            if not is_file:
                file.write(_END_OF_STREAM)  # reveals a stream that has no marker of its own
                file.flush()
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._source = pa.BufferReader(pa.py_buffer(self._mapped))
        try:
            self._reader = self._open_reader(is_file, None)
            self._arrow_columns = RecordBatchConverter(self._reader.schema, upload)
            self._source.seek(0)
            self._reader = self._open_reader(is_file, self._arrow_columns.indices)
        except READ_ERRORS as error:
            raise MalformedUpload(
                f"The schema, which comes first, cannot be read: {one_line_message(error)}."
            ) from None
        self.carried = self._arrow_columns.carried
        self._is_file = is_file

    def outputs(self) -> tuple[Output, ...]:
        """Return no outputs: only the query string can request them."""
        return ()

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows in pieces.

        Raises:
            MalformedUpload: a record batch cannot be read.
        """
        first_row = n_batches = 0
        while True:
            try:
                batch = self._read_next_batch(n_batches)
                if batch is None:
                    return
                for column in batch.columns:
                    column.validate(full=True)
                    self._release_pages()
            except READ_ERRORS as error:
                raise unreadable_part_error(f"Record batch {n_batches}", first_row, error) from None
            for piece in self._arrow_columns.pieces(batch, first_row):
                yield piece
                self._release_pages()
            first_row += batch.num_rows
            n_batches += 1

    def _open_reader(self, is_file: bool, column_indices: list[int] | None) -> Any:
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=column_indices or [])
        return (pa.ipc.open_file if is_file else pa.ipc.open_stream)(self._source, options=options)

    def _read_next_batch(self, index: int) -> Any:
        """Return the next record batch; None after the last."""
        if self._is_file:
            return self._reader.get_batch(index) if index < self._reader.num_record_batches else None
        try:
            return self._reader.read_next_batch()
        except StopIteration:
            pass
        end = self._source.tell()
        if end > self._n_bytes:
            raise pa.ArrowInvalid("the stream is truncated: its end marker is missing")
        if end < self._n_bytes:
            raise pa.ArrowInvalid(f"{self._n_bytes - end} bytes follow the end marker")
        return None

    def _release_pages(self) -> None:
        """Release the memory of the mapped pages; they are read again if they are needed."""
        self._mapped.madvise(mmap.MADV_DONTNEED)
