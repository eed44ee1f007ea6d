"""Keeps a body in an anonymous temporary file, for formats that are not read from start to end."""

import errno
import tempfile
from contextlib import suppress
from typing import IO, Any, Final

from shared.errors import StorageFull

_CHUNK_BYTES: Final = 2**20
_NO_SPACE_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def spool(body: Any) -> IO[bytes]:
    """Write a body to a temporary file; return the file at its beginning.

    Raises:
        StorageFull: the temporary folder is full.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    try:
        while chunk := body.read(_CHUNK_BYTES):
            _write_chunk(file, chunk)
    except BaseException:
        with suppress(OSError):  # closing tries to write the rest
            file.close()
        raise
    file.seek(0)
    return file


def _write_chunk(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        if error.errno in _NO_SPACE_ERRNOS:
            raise StorageFull("The gateway has no disk space left for the body. Try again later.") from None
        raise
