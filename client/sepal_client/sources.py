"""The bytes of an upload, from a file, a pipe or rows; they can be read again from the beginning."""

import io
import os
import tempfile
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from sepal_client import formats, frames, rows
from sepal_client.errors import InvalidInput
from sepal_client.formats import Format


class Source(Protocol):
    """The bytes of an upload."""

    format: Format

    @property
    def n_bytes(self) -> int | None:
        """The number of bytes; None while it is unknown."""

    def rewind(self) -> None:
        """Return to the beginning."""

    def read(self, n_bytes: int) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            InvalidInput: they cannot be read, or the file has changed.
        """

    def close(self) -> None:
        """Close the files that the source owns."""


class StoredSource:
    """A seekable file."""

    def __init__(self, file: BinaryIO, file_format: Format, *, is_owned: bool) -> None:
        """Start at the file's current position.

        Args:
            file: seekable.
            file_format: its format.
            is_owned: whether the source closes it.
        """
        self.format = file_format
        self._file = file
        self._is_owned = is_owned
        self._start = file.tell()
        self._n_bytes = file.seek(0, os.SEEK_END) - self._start
        self.rewind()

    @property
    def n_bytes(self) -> int | None:
        """The number of bytes."""
        return self._n_bytes

    def rewind(self) -> None:
        """Return to the beginning."""
        self._file.seek(self._start)
        self._left = self._n_bytes

    def read(self, n_bytes: int) -> bytes:
        """Return the next bytes."""
        try:
            part = self._file.read(n_bytes)
        except OSError as error:
            raise InvalidInput(f"The file cannot be read: {error.strerror or error}.") from error
        self._left -= len(part)
        if self._left < 0 or (self._left and not part):
            raise InvalidInput("The file changed during the upload, and nothing was accepted: send it again.")
        return part

    def close(self) -> None:
        """Close the file, if the source owns it."""
        if self._is_owned:
            self._file.close()


class PipedSource:
    """A pipe, copied to a temporary file as it is read."""

    n_bytes: int | None

    def __init__(self, pipe: BinaryIO, file_format: Format, *, is_owned: bool) -> None:
        """Create the temporary file.

        Args:
            pipe: not seekable.
            file_format: its format.
            is_owned: whether the source closes it.
        """
        self.format = file_format
        self.n_bytes = None
        self._pipe = pipe
        self._is_owned = is_owned
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._n_kept = 0
        self._n_read = 0

    def rewind(self) -> None:
        """Return to the beginning."""
        self._kept.seek(0)
        self._n_read = 0

    def read(self, n_bytes: int) -> bytes:
        """Return the next bytes: first those in the temporary file, then new ones from the pipe."""
        part = self._kept.read(n_bytes) if self._n_read < self._n_kept else self._read_pipe(n_bytes)
        self._n_read += len(part)
        return part

    def close(self) -> None:
        """Delete the temporary file, and close the pipe if the source owns it."""
        self._kept.close()
        if self._is_owned:
            self._pipe.close()

    def _read_pipe(self, n_bytes: int) -> bytes:
        if self.n_bytes is not None:
            return b""
        try:
            read = getattr(self._pipe, "read1", self._pipe.read)  # does not wait until `n_bytes` have arrived
            part: bytes = read(n_bytes)
            self._kept.write(part)
        except OSError as error:
            raise InvalidInput(f"The pipe cannot be read or copied: {error.strerror or error}.") from error
        self._n_kept += len(part)
        if not part:
            self.n_bytes = self._n_kept
        return part


def open_source(source: Any, format_name: str | None) -> Source:
    """Open a file, a file object or rows for an upload.

    Args:
        source: a path, a binary file object, or rows.
        format_name: the format of a file; None: by its suffix.

    Raises:
        InvalidInput: the file cannot be read, its format is unknown, or the rows are invalid.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open_path(Path(source), format_name)
    if hasattr(source, "read"):
        return _open_file(source, formats.source_format(None, format_name), is_owned=False)
    if format_name is not None:
        raise InvalidInput("`format` is only for files: the client chooses the format in which it sends rows.")
    return _open_rows(source)


def _open_path(path: Path, format_name: str | None) -> Source:
    form = formats.source_format(path, format_name)
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    return _open_file(file, form, is_owned=True)


def _open_file(file: BinaryIO, file_format: Format, *, is_owned: bool) -> Source:
    if isinstance(file, io.TextIOBase):
        raise InvalidInput("The file is open in text mode: open it with mode 'rb', or give its path.")
    is_seekable = getattr(file, "seekable", lambda: False)
    kind = StoredSource if is_seekable() else PipedSource
    return kind(file, file_format, is_owned=is_owned)


def _open_rows(source: Any) -> Source:
    """Write rows to a temporary file: a data frame as Arrow if its library is installed, other rows as NDJSON."""
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by the source)
    try:
        is_arrow = rows.is_frame(source) and frames.write_arrow(source, file)
        if not is_arrow:
            rows.write_ndjson(source, file)
        file.seek(0)
        return StoredSource(file, formats.format_by_name("arrow" if is_arrow else "ndjson"), is_owned=True)  # type: ignore[arg-type]
    except BaseException:
        file.close()
        raise
