"""Where a result is written: a file that is complete or not there, or a stream that takes the bytes as they come."""

import os
import secrets
import stat
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from sepal_client.errors import DownloadIncomplete, InvalidInput


class Target(Protocol):
    """Takes the bytes of a result."""

    n_bytes: int
    """How many it has taken."""

    def write(self, part: bytes) -> None:
        """Take the next bytes.

        Raises:
            DownloadIncomplete: they cannot be written.
        """

    def restart(self) -> None:
        """Drop what was taken, because the result begins again.

        Raises:
            DownloadIncomplete: that is not possible.
        """

    def commit(self) -> None:
        """The result is complete."""

    def discard(self) -> None:
        """Nothing is left of an incomplete result; does nothing after `commit`."""


class FileTarget:
    """A file beside its final name, which it gets at the end."""

    def __init__(self, path: Path) -> None:
        """Create the temporary file.

        Raises:
            InvalidInput: it cannot be created.
        """
        self.n_bytes = 0
        self._path = Path(os.path.realpath(path))  # a symbolic link stays one
        self._part = self._path.with_name(f"{self._path.name}.part-{secrets.token_hex(4)}")
        try:
            self._file = self._part.open("xb", buffering=0)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error

    def write(self, part: bytes) -> None:
        """Append to the temporary file."""
        try:
            _write_all(self._file, part)
        except OSError as error:
            raise DownloadIncomplete(f"{self._path} cannot be written: {error.strerror}. No file is left.") from error
        self.n_bytes += len(part)

    def restart(self) -> None:
        """Empty the temporary file."""
        self._file.seek(0)
        self._file.truncate()
        self.n_bytes = 0

    def commit(self) -> None:
        """Give the file its name.

        Raises:
            DownloadIncomplete: it cannot have that name.
        """
        try:
            self._file.close()
            self._part.replace(self._path)
        except OSError as error:
            raise DownloadIncomplete(f"{self._path} cannot be written: {error.strerror}. No file is left.") from error

    def discard(self) -> None:
        """Delete the temporary file."""
        self._file.close()
        self._part.unlink(missing_ok=True)


class TemporaryTarget:
    """A temporary file of the client's own, read afterwards."""

    def __init__(self, file: IO[bytes]) -> None:
        self.n_bytes = 0
        self._file = file

    def write(self, part: bytes) -> None:
        """Append to the file."""
        try:
            self._file.write(part)
        except OSError as error:
            raise DownloadIncomplete(f"The temporary file cannot be written: {error.strerror}.") from error
        self.n_bytes += len(part)

    def restart(self) -> None:
        """Empty the file."""
        self._file.seek(0)
        self._file.truncate()
        self.n_bytes = 0

    def commit(self) -> None:
        """Make the file ready for reading."""
        self._file.seek(0)

    def discard(self) -> None:
        """Leave the file to its owner."""


class StreamTarget:
    """A pipe or a file object, which cannot give bytes back."""

    def __init__(self, file: Any, *, is_owned: bool = False) -> None:
        """Write nothing yet.

        Args:
            file: takes bytes.
            is_owned: whether the target closes it.
        """
        self.n_bytes = 0
        self._file = file
        self._is_owned = is_owned

    def write(self, part: bytes) -> None:
        """Hand the bytes on; an error of the file object is raised as it is, such as that of a pipe without reader."""
        _write_all(self._file, part)
        self.n_bytes += len(part)

    def restart(self) -> None:
        """Refuse to begin again, unless nothing was written."""
        if self.n_bytes:
            raise DownloadIncomplete(
                f"The connection was lost after {self.n_bytes} bytes, which have been written already, and this format "
                "cannot be resumed: write to a file, or ask for Arrow or Parquet."
            )

    def commit(self) -> None:
        """Flush what was written."""
        self._file.flush()
        self.discard()

    def discard(self) -> None:
        """Close the file, if it was opened for this."""
        if self._is_owned:
            self._file.close()


def open_target(target: "str | os.PathLike[str] | BinaryIO | Target") -> Target:
    """Open what a result is written to.

    Raises:
        InvalidInput: it cannot be written.
    """
    if isinstance(target, (FileTarget, TemporaryTarget, StreamTarget)):
        return target
    if not isinstance(target, (str, os.PathLike)):
        return StreamTarget(target)
    path = Path(target)
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            return StreamTarget(path.open("wb"), is_owned=True)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
    return FileTarget(path)


def _write_all(file: Any, part: bytes) -> None:
    """Write all bytes; a file without a buffer may take only some of them at once."""
    left = memoryview(part)
    while left:
        n_written = file.write(left)
        left = left[len(left) if n_written is None else n_written :]
