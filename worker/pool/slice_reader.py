"""Reads the rows of slices from the object store."""

import io
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.ipc

from shared.bulk import CARRIED_PREFIX, Slice, Source
from shared.errors import ObjectStoreUnavailable
from shared.objects import ObjectStore

_READ_OPTIONS: Final = pa.ipc.IpcReadOptions(use_threads=False)
_MAX_OPEN_OBJECTS: Final = 2  # because slices of several predictions alternate
_FOOTER_BYTES: Final = 64 * 2**10  # a longer footer takes another request


class SliceReader:
    """Reads slices: from a folder by mapping a file into memory, from any other store by range requests."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._open_objects: OrderedDict[str, _OpenObject] = OrderedDict()

    def read(self, source: Source, row_range: Slice) -> pa.Table:
        """Read the rows of a slice, without carried columns.

        If the store is a folder, the table refers to the mapped file, and the mapping ends with the table, so that a
        deleted file does not keep its space.

        Returns:
            The columns `f0`, `f1`, …, and `error` if the rows have that column.

        Raises:
            FileNotFoundError: the object does not exist any more.
            ObjectStoreUnavailable: the object cannot be read now.
        """
        path = self._store.local_path(source.key)
        if path is not None:
            return _read_slice(pa.ipc.open_file(_map_file(path), options=_READ_OPTIONS), source, row_range)
        file, reader = self._open_object(source.key)
        # Record batches have about the same length: one request for all of them, instead of one for each.
        n_read = row_range.n_rows + 2 * source.batch_rows
        with file.read_ahead(file.n_bytes * n_read // source.n_rows):
            return _read_slice(reader, source, row_range)

    def _open_object(self, key: str) -> "_OpenObject":
        """Open an object and read its footer, unless it is still open."""
        if key in self._open_objects:
            self._open_objects.move_to_end(key)
            return self._open_objects[key]
        file = RangedFile(self._store, key)
        with file.read_ahead(_FOOTER_BYTES):
            file.seek(max(0, file.n_bytes - _FOOTER_BYTES))
            file.read(0)
            opened = _OpenObject(file, pa.ipc.open_file(pa.PythonFile(file, "r"), options=_READ_OPTIONS))
        self._open_objects[key] = opened
        if len(self._open_objects) > _MAX_OPEN_OBJECTS:
            self._open_objects.popitem(last=False)
        return opened


class RangedFile:
    """An object as a file: each read is one request, unless the bytes were read ahead."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        """Request the length of the object.

        Raises:
            FileNotFoundError: the object does not exist any more.
            ObjectStoreUnavailable: the object cannot be read now.
        """
        self._store = store
        self._key = key
        self.n_bytes = store.size(key)
        self._position = 0
        self._n_ahead = 0
        self._held, self._held_from = memoryview(b""), 0
        self.closed = False  # pyarrow reads it

    @contextmanager
    def read_ahead(self, n_bytes: int) -> Iterator[None]:
        """Request at least `n_bytes` with the first request within the context, and keep them until its end."""
        self._n_ahead = n_bytes
        try:
            yield
        finally:
            self._n_ahead, self._held = 0, memoryview(b"")

    def read(self, size: int) -> memoryview:
        """Read from the current position.

        Raises:
            FileNotFoundError: the object does not exist any more.
            ObjectStoreUnavailable: the object cannot be read now.
        """
        start, left = self._position, self.n_bytes - self._position
        wanted = min(size, left)
        skipped = start - self._held_from
        if not 0 <= skipped <= len(self._held) - wanted or not self._held:
            self._held = self._store.read(self._key, start, min(max(wanted, self._n_ahead), left))
            self._held_from, skipped, self._n_ahead = start, 0, 0
        self._position += wanted
        return self._held[skipped : skipped + wanted]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; nothing is read."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.n_bytes}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


class _OpenObject(NamedTuple):
    file: RangedFile
    reader: Any


def _read_slice(reader: Any, source: Source, row_range: Slice) -> pa.Table:
    first, n_before = divmod(row_range.first_row, source.batch_rows)
    last = (row_range.first_row + row_range.n_rows - 1) // source.batch_rows
    table = pa.Table.from_batches([reader.get_batch(index) for index in range(first, last + 1)])
    carried = {f"{CARRIED_PREFIX}{index}" for index in range(len(source.carried))}
    return table.drop_columns(list(carried)).slice(n_before, row_range.n_rows)


def _map_file(path: Path) -> Any:
    try:
        return pa.memory_map(str(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ObjectStoreUnavailable from error
