"""Opens Arrow files of the object store: from a folder as local files, from other stores in parts."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from shared.bulk import SliceResult
from shared.objects import ObjectStore

_MAX_WHOLE_FILE_BYTES: Final = 16 * 2**20
"""A file of at most this size is read with one request."""
_PART_BYTES: Final = 4 * 2**20
_FILES_AHEAD: Final = 3  # files requested ahead, because each request takes a round trip


def open_file(store: ObjectStore, key: str, n_bytes: int, column_indices: Sequence[int] | None = None) -> Any:
    """Open an Arrow file as a `RecordBatchFileReader`.

    Args:
        store: the object store.
        key: the key of the file.
        n_bytes: the size of the file.
        column_indices: the indices of the columns to read; None for all.

    Raises:
        FileNotFoundError: there is no such file.
        ObjectStoreUnavailable: the file cannot be read.
    """
    path = store.local_path(key)
    if path is not None:
        # Mapped memory counts towards the limit: map a result, but not the rows of a whole upload.
        file = pa.memory_map(str(path)) if column_indices is None else pa.OSFile(str(path))
    elif n_bytes <= _MAX_WHOLE_FILE_BYTES:
        file = pa.BufferReader(store.read(key, 0, n_bytes))
    else:
        file = pa.PythonFile(_StoredFile(store, key, n_bytes), mode="r")
    options = pa.ipc.IpcReadOptions(
        use_threads=False, included_fields=None if column_indices is None else list(column_indices)
    )
    return pa.ipc.open_file(file, options=options)


def open_results(store: ObjectStore, results: Sequence[SliceResult]) -> Iterator[tuple[SliceResult, Any]]:
    """Yield each slice result and its open file; None for a result without an object.

    If the object store is not a folder, the next files are requested ahead.
    """
    if store.local_path("") is not None:
        for result in results:
            yield result, _open_result(store, result)
        return
    rest = iter(results)
    with ThreadPoolExecutor(_FILES_AHEAD) as pool:
        ahead = deque((result, pool.submit(_open_result, store, result)) for result in islice(rest, _FILES_AHEAD))
        while ahead:
            result, opened = ahead.popleft()
            ahead.extend((each, pool.submit(_open_result, store, each)) for each in islice(rest, 1))
            yield result, opened.result()


def _open_result(store: ObjectStore, result: SliceResult) -> Any:
    return open_file(store, result.key, result.n_bytes) if result.key else None


class _StoredFile:
    """A readable, seekable file that requests an object in parts of at least 4 MiB."""

    def __init__(self, store: ObjectStore, key: str, n_bytes: int) -> None:
        self._store = store
        self._key = key
        self._n_bytes = n_bytes
        self._position = 0
        self._start = 0  # the offset of the part in the object
        self._part = memoryview(b"")
        self.closed = False  # read by pyarrow

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position, as `io.IOBase.seek`."""
        self._position = offset + (0, self._position, self._n_bytes)[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, n_bytes: int = -1) -> bytes:
        """Read `n_bytes` from the position; all remaining bytes if `n_bytes` is negative."""
        left = self._n_bytes - self._position
        n_bytes = left if n_bytes < 0 else min(n_bytes, left)
        start = self._position - self._start
        if start < 0 or start + n_bytes > len(self._part):
            self._start, start = self._position, 0
            self._part = self._store.read(self._key, self._position, min(max(n_bytes, _PART_BYTES), left))
        self._position += n_bytes
        return bytes(self._part[start : start + n_bytes])
