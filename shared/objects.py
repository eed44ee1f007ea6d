"""The object store, a folder or S3, GCS or Azure: contains the rows and results of bulk predictions.

No key is written twice, and conditional writes are not needed. When the block of `ObjectStore.open_writer` has ended,
the object is durable, and a record may refer to it.

A killed writer leaves, in a folder, an unfinished file `KEY#1`, which is listed and deleted like any other object; in
S3, a multipart upload, which a lifecycle rule of the bucket must abort (docs/operations.md). A request that timed out
may still be executed later, and leave an object without a record.
"""

import errno
import os
import signal
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

KEY_PREFIX: Final = "sepal/"
"""The prefix of every key of Sepal; other objects are neither listed nor deleted."""

_PART_BYTES: Final = 8 * 2**20  # S3 allows 10,000 parts: an object can have 80 GB
_MAX_CONCURRENT_PARTS: Final = 4
"""Parts that a writer sends at the same time. With the part that it collects, they need 40 MB of memory."""
_MAX_KEYS_PER_DELETE: Final = 1000  # the limit of one S3 request

# A call ends within 20 s; aborting an object of several parts takes another 15 s. A worker's timeouts depend on that.
# Each part must be sent within 15 s, so a writer needs 2 MB/s.
_REQUEST_TIMEOUT: Final = "15s"
_CONNECT_TIMEOUT: Final = "3s"
_RETRY_CONFIG: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=5)}

_NO_SPACE_MESSAGES: Final = (
    *(f"os error {number}" for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
    "507 Insufficient",  # HTTP
    "StorageFull",  # MinIO
    "QuotaExceeded",  # Ceph
)
_BEYOND_END_MESSAGES: Final = ("Requested range was invalid", "416 Range", "416 Requested Range")


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
        self.closed = False  # read by pyarrow

    def write(self, content: Any) -> int:
        """Write the bytes of any buffer.

        Raises:
            ObjectStoreUnavailable, StorageFull: the object was not written.
        """
        view = memoryview(content).cast("B")  # Arrow's buffers have signed bytes
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
        """Create a client; send no request yet.

        Args:
            url: a folder, as a path or `file:///folder`, which is created if it is missing; or `s3://bucket/prefix`,
                `gs://…` or `az://…`, with credentials and endpoints from environment variables such as `AWS_…`.
        """
        if "://" not in url or url.startswith("file://"):
            return cls(None, Path(unquote(urlsplit(url).path) if "://" in url else url).absolute())
        options: Any = {"timeout": _REQUEST_TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT, "allow_http": True}
        return cls(from_url(url, client_options=options, retry_config=_RETRY_CONFIG), None)

    @contextmanager
    def open_writer(self, key: str) -> Iterator[ObjectWriter]:
        """Write an object in parts, within a `with` block; delete it if the block raises.

        Raises:
            ObjectStoreUnavailable, StorageFull: the object was not written.
        """
        with _translate_errors():
            writer = obstore.open_writer(
                self._store, key, buffer_size=_PART_BYTES, max_concurrency=_MAX_CONCURRENT_PARTS
            )
        try:
            yield ObjectWriter(writer)
            with _translate_errors():
                writer.close()
                self._sync_to_disk(key)
        except BaseException as error:
            self._discard_object(writer, key, error)
            raise

    def put(self, key: str, content: bytes) -> None:
        """Write a small object.

        Raises:
            ObjectStoreUnavailable, StorageFull: the object was not written.
        """
        with self.open_writer(key) as writer:
            writer.write(content)

    def size(self, key: str) -> int:
        """Return the size of an object in bytes.

        Raises:
            FileNotFoundError: there is no such object.
            ObjectStoreUnavailable: the size cannot be read.
        """
        with _translate_errors(may_be_missing=True):
            return int(obstore.head(self._store, key)["size"])

    def read(self, key: str, start: int, n_bytes: int) -> memoryview:
        """Read a byte range of an object.

        Raises:
            FileNotFoundError: there is no such object, or it is shorter.
            ObjectStoreUnavailable: the object cannot be read.
        """
        if not n_bytes:
            return memoryview(b"")
        with _translate_errors(may_be_missing=True):
            content = memoryview(obstore.get_range(self._store, key, start=start, length=n_bytes))
        if content.nbytes != n_bytes:
            raise FileNotFoundError(f"the object {key} ends before byte {start + n_bytes}")
        return content

    def local_path(self, key: str) -> Path | None:
        """Return the path of an object's file; None if the object store is not a folder."""
        return None if self._folder is None else self._folder / key

    def list(self, prefix: str = KEY_PREFIX) -> Iterator[StoredObject]:
        """List the objects below a prefix that ends with a slash.

        Raises:
            ObjectStoreUnavailable: the listing is incomplete.
        """
        with _translate_errors():
            if self._folder is not None:
                yield from _list_files(self._folder, prefix)
                return
            for entries in obstore.list(self._store, prefix.rstrip("/")):
                for entry in entries:
                    yield StoredObject(entry["path"], entry["size"], entry["last_modified"])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; ignore missing ones.

        Raises:
            ObjectStoreUnavailable: some may be left.
        """
        remaining = iter(keys)
        while several := list(islice(remaining, _MAX_KEYS_PER_DELETE)):
            with _translate_errors():
                if self._folder is None:
                    _delete_remote(self._store, several)
                else:
                    _unlink_files(self._folder, several)

    def delete_all(self, prefix: str) -> None:
        """Delete the objects below a prefix that ends with a slash.

        Raises:
            ObjectStoreUnavailable: some may be left.
        """
        self.delete([stored.key for stored in self.list(prefix)])

    @property
    def _store(self) -> Any:
        """The client; that of a folder is created at its first use, together with the folder."""
        if self._remote is None:
            self._remote = LocalStore(self._folder, mkdir=True)
        return self._remote

    def _sync_to_disk(self, key: str) -> None:
        """Sync the file of an object and the folders above it to disk, which obstore does not do."""
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

    def _discard_object(self, writer: Any, key: str, error: BaseException) -> None:
        """Delete what a failed write may have left; what cannot be deleted is swept later."""
        try:
            with _interrupts_blocked():
                if not writer.closed():  # a closed writer has already tried to
                    writer.__exit__(type(error), error, None)  # aborts a multipart upload
                # An object store that is unavailable would not delete it either.
                if self._folder is not None or not isinstance(error, ObjectStoreUnavailable):
                    self.delete([key])
        except Exception:  # noqa: S110  the original error is already being raised
            pass


def absolute_url(url: str) -> str:
    """Return the URL, with an absolute path if it is a folder, for a process with another working directory."""
    return url if "://" in url else str(Path(url).absolute())


def _delete_remote(store: Any, keys: list[str]) -> None:
    try:
        obstore.delete(store, keys)
    except FileNotFoundError:  # other stores than S3 raise it for a missing object
        for key in keys:
            with suppress(FileNotFoundError):
                obstore.delete(store, key)


def _unlink_files(folder: Path, keys: list[str]) -> None:
    """Delete files, and then the empty folders above them."""
    for key in keys:
        path = folder / key
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty, or another process has deleted it
            while (path := path.parent) != folder:
                path.rmdir()


def _list_files(folder: Path, prefix: str) -> Iterator[StoredObject]:
    """List files, including those of unfinished writes, which obstore does not list."""
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
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in this thread until the end of the block: obstore lets it interrupt the abort of an upload."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def _translate_errors(*, may_be_missing: bool = False) -> Iterator[None]:
    """Translate the errors of obstore and the file system to errors of Sepal.

    FileNotFoundError is raised unchanged if an object may be missing. In other calls, it means that the bucket is
    missing, or that the folder was deleted meanwhile.
    """
    try:
        yield
    except (OSError, exceptions.BaseError) as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            raise
        text = str(error)
        if any(sign in text for sign in _NO_SPACE_MESSAGES):
            raise StorageFull from error
        if any(sign in text for sign in _BEYOND_END_MESSAGES):
            raise FileNotFoundError("the object ends earlier") from error
        raise ObjectStoreUnavailable from error
