"""The object store: a folder, or S3, GCS or Azure, which hold the rows and the results of bulk predictions.

No key is written twice, and nothing depends on conditional writes. An object counts as written once the block of
`ObjectStore.writer` has ended: it is then safe on disk, and a record may point at it.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
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
_REQUEST_TIMEOUT: Final = "30s"
_CONNECT_TIMEOUT: Final = "3s"
_RETRY: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_NO_SPACE: Final = ("os error 28", "os error 122", "InsufficientStorage", "507 Insufficient")


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
        with _translated():
            self._writer.write(view)
        self.n_bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Do nothing: a part is sent once it is full."""


class ObjectStore:
    """A client of the object store; its calls block."""

    def __init__(self, store: Any, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    @classmethod
    def open(cls, url: str) -> Self:
        """Make a client; nothing is read or written yet.

        Args:
            url: a folder, which is made if it is missing, as a path or `file:///folder`; else `s3://bucket/prefix`,
                `gs://…` or `az://…`, with credentials and endpoints from the environment, as in `AWS_…` variables.
        """
        if "://" not in url or url.startswith("file://"):
            folder = Path(unquote(urlsplit(url).path) if "://" in url else url).absolute()
            return cls(LocalStore(folder, mkdir=True, automatic_cleanup=True), folder)
        options: Any = {"timeout": _REQUEST_TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT, "allow_http": True}
        return cls(from_url(url, client_options=options, retry_config=_RETRY), None)

    @contextmanager
    def writer(self, key: str) -> Iterator[ObjectWriter]:
        """Write an object in parts, within a `with` block; if the block raises, nothing is left of it.

        Raises:
            ObjectStoreUnavailable, StorageFull: it was not written.
        """
        with _translated():
            writer = obstore.open_writer(self._store, key, buffer_size=_PART_BYTES)
        opened = ObjectWriter(writer)
        try:
            yield opened
            with _translated():
                writer.close()
                self._sync(key)
        except BaseException:
            self._discard(writer, key)
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
        with _translated():
            return int(obstore.head(self._store, key)["size"])

    def read(self, key: str, start: int, n_bytes: int) -> memoryview:
        """Read a part of an object.

        Raises:
            FileNotFoundError: there is no such object.
            ObjectStoreUnavailable: it cannot be read now.
        """
        with _translated():
            return memoryview(obstore.get_range(self._store, key, start=start, length=n_bytes))

    def local_path(self, key: str) -> Path | None:
        """Return the path of an object of a folder, which can be mapped into memory; None for any other store."""
        return None if self._folder is None else self._folder / key

    def list(self, prefix: str = PREFIX) -> Iterator[StoredObject]:
        """List the objects below a prefix that ends with a slash.

        Raises:
            ObjectStoreUnavailable: the listing broke off.
        """
        with _translated():
            for entries in obstore.list(self._store, prefix.rstrip("/")):
                for entry in entries:
                    yield StoredObject(entry["path"], entry["size"], entry["last_modified"])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; a missing one is no error.

        Raises:
            ObjectStoreUnavailable: some may be left.
        """
        for key in keys:
            with _translated():
                try:
                    obstore.delete(self._store, key)
                except FileNotFoundError:
                    pass

    def delete_all(self, prefix: str) -> None:
        """Delete the objects below a prefix that ends with a slash.

        Raises:
            ObjectStoreUnavailable: some may be left.
        """
        self.delete([stored.key for stored in self.list(prefix)])

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

    def _discard(self, writer: Any, key: str) -> None:
        """Remove what a broken write may have left; a sweep by age finds what this cannot remove."""
        try:
            if not writer.closed():
                writer.close()
            self.delete([key])
        except Exception:  # noqa: S110  the reason to discard it is already being raised
            pass


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, exceptions.BaseError) as error:
        text = str(error)
        if any(sign in text for sign in _NO_SPACE):
            raise StorageFull from error
        raise ObjectStoreUnavailable from error
