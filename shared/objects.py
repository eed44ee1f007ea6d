"""The object store: a folder, or S3, GCS or Azure, which hold the rows and the results of bulk predictions.

No key is written twice, and nothing depends on conditional writes. An object counts as written once the block of
`ObjectStore.writer` has ended: it is then safe on disk, and a record may point at it.

What a killed writer leaves: in a folder, a file beside the object, `KEY#1`, which is listed and deleted like any other;
in S3, a multipart upload, which a lifecycle rule of the bucket has to end (docs/operations.md). A request that was
given up may still be carried out later, and leave an object without a record.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, from_url

from shared.errors import ObjectStoreUnavailable, StorageFull

PREFIX: Final = "sepal/"
"""Every key of Sepal begins with it; other objects are neither listed nor deleted."""

_PART_BYTES: Final = 8 * 2**20  # S3 takes 10,000 parts: an object can have 80 GB
_PARTS_UNDER_WAY: Final = 4
"""Of a writer. With the part that it gathers, they are its memory: 40 MB."""
_DELETED_TOGETHER: Final = 1000  # the most that S3 takes in a request

# A call ends within 20 s; giving up an object of several parts takes another 15 s. A worker that waits for the object
# store counts on that. A part has to arrive within 15 s, so a writer needs 2 MB/s.
_REQUEST_TIMEOUT: Final = "15s"
_CONNECT_TIMEOUT: Final = "3s"
_RETRY: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=5)}

_NO_SPACE: Final = (
    *(f"os error {number}" for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
    "507 Insufficient",  # HTTP
    "StorageFull",  # MinIO
    "QuotaExceeded",  # Ceph
)
_BEYOND_END: Final = ("Requested range was invalid", "416 Range", "416 Requested Range")


class StoredObject(NamedTuple):
    """An entry of a listing."""

    key: str
    n_bytes: int
    modified: datetime


class ObjectWriter:
    """An object that is being written."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.n_bytes = 0
        self.closed = False  # pyarrow asks for it

    def write(self, content: Any) -> int:
        """Write more bytes: any buffer.

        Raises:
            ObjectStoreUnavailable, StorageFull: the object will not be written.
        """
        view = memoryview(content).cast("B")  # buffers of Arrow are of signed bytes
        with _translate_errors():
            self._writer.write(view)
        self.n_bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Do nothing: a part is sent once it is full."""


class ObjectStore:
    """A client of the object store; its calls block."""

    def __init__(self, remote: Any, folder: Path | None) -> None:
        self._remote = remote
        self._folder = folder

    @classmethod
    def open(cls, url: str) -> Self:
        """Make a client; nothing is read or written yet.

        Args:
            url: a folder, which is made if it is missing, as a path or `file:///folder`; else `s3://bucket/prefix`,
                `gs://…` or `az://…`, with credentials and endpoints from the environment, as in `AWS_…` variables.
        """
        if "://" not in url or url.startswith("file://"):
            return cls(None, Path(unquote(urlsplit(url).path) if "://" in url else url).absolute())
        options: Any = {"timeout": _REQUEST_TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT, "allow_http": True}
        return cls(from_url(url, client_options=options, retry_config=_RETRY), None)

    @contextmanager
    def writer(self, key: str) -> Iterator[ObjectWriter]:
        """Write an object in parts, within a `with` block; if the block raises, nothing is left of it.

        Raises:
            ObjectStoreUnavailable, StorageFull: it was not written.
        """
        with _translate_errors():
            writer = obstore.open_writer(self._store, key, buffer_size=_PART_BYTES, max_concurrency=_PARTS_UNDER_WAY)
        try:
            yield ObjectWriter(writer)
            with _translate_errors():
                writer.close()
                self._sync(key)
        except BaseException as error:
            self._discard(writer, key, error)
            raise

    def put(self, key: str, content: bytes) -> None:
        """Write a small object.

        Raises:
            ObjectStoreUnavailable, StorageFull: it was not written.
        """
        with self.writer(key) as writer:
            writer.write(content)

    def size(self, key: str) -> int:
        """Return the number of bytes of an object.

        Raises:
            FileNotFoundError: there is no such object.
            ObjectStoreUnavailable: it cannot be read now.
        """
        with _translate_errors(may_be_missing=True):
            return int(obstore.head(self._store, key)["size"])

    def read(self, key: str, start: int, n_bytes: int) -> memoryview:
        """Read a part of an object.

        Raises:
            FileNotFoundError: there is no such object, or it ends earlier.
            ObjectStoreUnavailable: it cannot be read now.
        """
        if not n_bytes:
            return memoryview(b"")
        with _translate_errors(may_be_missing=True):
            content = memoryview(obstore.get_range(self._store, key, start=start, length=n_bytes))
        if content.nbytes != n_bytes:
            raise FileNotFoundError(f"the object {key} ends before byte {start + n_bytes}")
        return content

    def local_path(self, key: str) -> Path | None:
        """Return the path of an object of a folder, which can be mapped into memory; None for any other store."""
        return None if self._folder is None else self._folder / key

    def list(self, prefix: str = PREFIX) -> Iterator[StoredObject]:
        """List the objects below a prefix that ends with a slash.

        Raises:
            ObjectStoreUnavailable: the listing broke off.
        """
        with _translate_errors():
            if self._folder is not None:
                yield from _list_files(self._folder, prefix)
                return
            for entries in obstore.list(self._store, prefix.rstrip("/")):
                for entry in entries:
                    yield StoredObject(entry["path"], entry["size"], entry["last_modified"])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; a missing one is no error.

        Raises:
            ObjectStoreUnavailable: some may be left.
        """
        remaining = iter(keys)
        while several := list(islice(remaining, _DELETED_TOGETHER)):
            with _translate_errors():
                if self._folder is None:
                    _delete_remote(self._store, several)
                else:
                    _unlink(self._folder, several)

    def delete_all(self, prefix: str) -> None:
        """Delete the objects below a prefix that ends with a slash.

        Raises:
            ObjectStoreUnavailable: some may be left.
        """
        self.delete([stored.key for stored in self.list(prefix)])

    @property
    def _store(self) -> Any:
        """The client. That of a folder is made when it is used: the folder may be there only then."""
        if self._remote is None:
            self._remote = LocalStore(self._folder, mkdir=True)
        return self._remote

    def _sync(self, key: str) -> None:
        """Write an object of a folder, and the folders above it, to disk: obstore renames a file and syncs nothing."""
        if self._folder is None:
            return
        path = self._folder / key
        while path != self._folder.parent:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            path = path.parent

    def _discard(self, writer: Any, key: str, error: BaseException) -> None:
        """Remove what a broken write may have left; a sweep by age finds what this cannot remove."""
        try:
            if not writer.closed():  # else it has tried to
                writer.__exit__(type(error), error, None)  # aborts a multipart upload
            # An object store that does not answer would not delete either.
            if self._folder is not None or not isinstance(error, ObjectStoreUnavailable):
                self.delete([key])
        except Exception:  # noqa: S110  the reason to discard it is already being raised
            pass


def absolute_url(url: str) -> str:
    """Return the URL with the absolute path of a folder, for a process with another working directory."""
    return url if "://" in url else str(Path(url).absolute())


def _delete_remote(store: Any, keys: list[str]) -> None:
    try:
        obstore.delete(store, keys)
    except FileNotFoundError:  # not from S3
        for key in keys:
            with suppress(FileNotFoundError):
                obstore.delete(store, key)


def _unlink(folder: Path, keys: list[str]) -> None:
    """Delete files, and the folders that are then empty."""
    for key in keys:
        path = folder / key
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty, or another process was faster
            while (path := path.parent) != folder:
                path.rmdir()


def _list_files(folder: Path, prefix: str) -> Iterator[StoredObject]:
    """List files, those of unfinished writes included, which obstore does not list."""
    for path, _, names in os.walk(folder / prefix, onerror=_raise_unless_missing):
        for name in names:
            file = Path(path, name)
            with suppress(FileNotFoundError):  # it was deleted meanwhile
                status = file.stat()
                modified = datetime.fromtimestamp(status.st_mtime, UTC)
                yield StoredObject(str(file.relative_to(folder)), status.st_size, modified)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _translate_errors(*, may_be_missing: bool = False) -> Iterator[None]:
    """Raise an error of Sepal's own; a missing object is one only where an object is read.

    Where one is written or listed, its bucket is missing, or its folder was deleted meanwhile.
    """
    try:
        yield
    except (OSError, exceptions.BaseError) as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            raise
        text = str(error)
        if any(sign in text for sign in _NO_SPACE):
            raise StorageFull from error
        if any(sign in text for sign in _BEYOND_END):
            raise FileNotFoundError("the object ends earlier") from error
        raise ObjectStoreUnavailable from error
