"""The object store of the site: a folder, a small disk that can be filled, or an S3 server that can be frozen."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import psutil

from shared.objects import ObjectStore
from tests.s3 import S3Server, s3_server

_DISK_BYTES: Final = 512 * 2**20
_PID_BYTES: Final = 16  # the pipeline writes pids, on what would be another disk
_BLOCK: Final = b"\0" * 2**20


class Kind(StrEnum):
    """The kind of object store of a site."""

    FOLDER = "folder"
    DISK = "disk"
    S3 = "s3"


class Disk(Protocol):
    """A disk that can be filled."""

    def fill(self, n_free: int, processes: Sequence[psutil.Process]) -> None:
        """Leave `n_free` bytes for these processes and their future children."""

    def free(self, processes: Sequence[psutil.Process]) -> None:
        """Free the space again."""


class Storage:
    """An object store that can be filled or frozen."""

    def __init__(self, folder: Path, disk: Disk | None = None, server: S3Server | None = None) -> None:
        self.url = str(folder) if server is None else server.url
        self.environment = {} if server is None else server.environment
        self._disk = disk
        self._server = server

    @property
    def disk(self) -> Disk:
        """The disk of the folder."""
        assert self._disk is not None, "a storage of another kind"
        return self._disk

    def open(self) -> ObjectStore:
        """Return a client of the store."""
        return ObjectStore.open(self.url) if self._server is None else self._server.store()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the S3 server."""
        assert self._server is not None, "a storage of another kind"
        os.killpg(self._server.part.popen.pid, number)


@contextmanager
def running_storage(kind: Kind, folder: Path) -> Iterator[Storage]:
    """Make an object store in the folder."""
    objects = folder / "objects"
    match kind:
        case Kind.FOLDER:
            yield Storage(objects)
        case Kind.DISK:
            with _small_disk(objects) as disk:
                yield Storage(objects, disk)
        case Kind.S3:
            with s3_server(folder / "s3") as server:
                yield Storage(objects, server=server)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Disk]:
    """Mount a separate disk if the user is root; otherwise, limit the size of files."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "sepal-chaos", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield LimitedFiles()
        return
    try:
        yield MountedDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class MountedDisk:
    """A file system in memory that is filled by a file, so that writes fail with ENOSPC."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    def fill(self, n_free: int, processes: Sequence[psutil.Process]) -> None:
        """Write a file until only `n_free` bytes are left."""
        del processes
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while (left := self._free_bytes() - n_free) > 0:
                    file.write(_BLOCK[:left])
            except OSError:
                pass  # a process of the site has taken the rest

    def free(self, processes: Sequence[psutil.Process]) -> None:
        """Delete the file."""
        del processes
        self._ballast.unlink()

    def _free_bytes(self) -> int:
        status = os.statvfs(self._folder)
        return status.f_bfree * status.f_frsize


class LimitedFiles:
    """A limit on the size of files (RLIMIT_FSIZE), so that writes, also to logs, fail with EFBIG."""

    def fill(self, n_free: int, processes: Sequence[psutil.Process]) -> None:
        """Set the limit."""
        self._set_limit(processes, max(n_free, _PID_BYTES))

    def free(self, processes: Sequence[psutil.Process]) -> None:
        """Lift the limit."""
        self._set_limit(processes, resource.RLIM_INFINITY)

    def _set_limit(self, processes: Sequence[psutil.Process], n_bytes: int) -> None:
        for process in processes:
            with suppress(ProcessLookupError):  # it has ended
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))
