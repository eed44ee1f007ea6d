"""The targets of a download: a file that appears only when it is complete, a temporary file, or a stream."""

import os
import secrets
import stat
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from sepal_client.errors import DownloadIncomplete, InvalidInput


class Target(Protocol):
    """Where the bytes of a result are written."""

    n_bytes: int
    """The number of bytes written."""

    def write(self, part: bytes) -> None:
        """Write the next bytes.

        Raises:
            DownloadIncomplete: they cannot be written.
        """

    def restart(self) -> None:
        """Delete the bytes written, because the result is sent again from the beginning.

        Raises:
            DownloadIncomplete: the target cannot delete them.
        """

    def commit(self) -> None:
        """Finish a complete result."""

    def discard(self) -> None:
        """Delete an incomplete result; does nothing after `commit`."""


class FileTarget:
    """A file that is written under a temporary name in the same folder, and renamed when it is complete."""

    def __init__(self, path: Path) -> None:
        """Create the temporary file.

        Raises:
            InvalidInput: it cannot be created.
        """
        self.n_bytes = 0
        self._path = Path(os.path.realpath(path))  # so that a symbolic link is kept
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
        """Rename the file to its final name.

        Raises:
            DownloadIncomplete: it cannot be renamed.
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
    """A temporary file that the client reads after the download."""

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
        """Return to the beginning, for reading."""
        self._file.seek(0)

    def discard(self) -> None:
        """Do nothing: the owner closes the file."""


class StreamTarget:
    """A pipe or file object, from which written bytes cannot be removed."""

    def __init__(self, file: Any, *, is_owned: bool = False) -> None:
        """Wrap the file object.

        Args:
            file: a binary file object.
            is_owned: whether the target closes it.
        """
        self.n_bytes = 0
        self._file = file
        self._is_owned = is_owned

    def write(self, part: bytes) -> None:
        """Write the bytes; errors of the file object, such as `BrokenPipeError`, are not converted."""
        _write_all(self._file, part)
        self.n_bytes += len(part)

    def restart(self) -> None:
        """Raise an error if bytes have been written."""
        if self.n_bytes:
            raise DownloadIncomplete(
                f"The connection was lost after {self.n_bytes} bytes were written, and a download in this format "
                "cannot be resumed: write to a file, or use Arrow or Parquet."
            )

    def commit(self) -> None:
        """Flush the file object, and close it if the target owns it."""
        self._file.flush()
        self.discard()

    def discard(self) -> None:
        """Close the file object, if the target owns it."""
        if self._is_owned:
            self._file.close()


def open_target(target: "str | os.PathLike[str] | BinaryIO | Target") -> Target:
    """Open the target of a download.

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
    """Write all bytes; one `write` of an unbuffered file may write only some of them."""
    left = memoryview(part)
    while left:
        n_written = file.write(left)
        left = left[len(left) if n_written is None else n_written :]
