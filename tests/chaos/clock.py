"""Moves the clock of a running process and its children with libfaketime (Debian's package `faketime`)."""

import os
import select
import time
from pathlib import Path
from typing import Any, Final

HOUR: Final = 3600
_FILE_VARIABLE: Final = "FAKETIME_TIMESTAMP_FILE"
_CACHE_SECONDS: Final = 1  # how long a process may cache the offset


def library() -> Path | None:
    """Find the build of libfaketime for multithreaded programs."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def patch_sleep() -> None:
    """Replace `time.sleep`, which fails with EINVAL under libfaketime 0.9.10; call this before other imports."""
    if _FILE_VARIABLE in os.environ:
        time.sleep = _sleep


def _sleep(seconds: Any) -> None:
    select.select([], [], [], seconds)


class Clock:
    """The offset between one process's clock and the machine's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.write_text("+0")

    def environment(self) -> dict[str, str]:
        """Return the environment variables that the process must be started with."""
        return {
            "LD_PRELOAD": str(library()),
            _FILE_VARIABLE: str(self._path),
            "FAKETIME_CACHE_DURATION": str(_CACHE_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # a monotonic clock cannot be set
            "DONT_FAKE_MONOTONIC": "1",  # the name in older versions
        }

    def move(self, seconds: int) -> None:
        """Set the offset in seconds, and wait until the process applies it."""
        self._path.write_text(f"{seconds:+d}")
        time.sleep(_CACHE_SECONDS)
