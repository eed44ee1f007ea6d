"""Moves the clock of one process and its children, while it runs, by libfaketime (Debian's package `faketime`)."""

import os
import select
import time
from pathlib import Path
from typing import Any, Final

HOUR: Final = 3600
_FILE_VARIABLE: Final = "FAKETIME_TIMESTAMP_FILE"
_CACHE_SECONDS: Final = 1  # for so long a process may go on with the time that it had


def library() -> Path | None:
    """Find libfaketime, the build for programs with threads."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def mend_sleep() -> None:
    """Call before anything is imported that may sleep: under libfaketime 0.9.10 `time.sleep` fails with EINVAL."""
    if _FILE_VARIABLE in os.environ:
        time.sleep = _sleep


def _sleep(seconds: Any) -> None:
    select.select([], [], [], seconds)


class Clock:
    """The difference between one process's clock and everybody else's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.write_text("+0")

    def environment(self) -> dict[str, str]:
        """What the process must be started with."""
        return {
            "LD_PRELOAD": str(library()),
            _FILE_VARIABLE: str(self._path),
            "FAKETIME_CACHE_DURATION": str(_CACHE_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nobody can set that one
            "DONT_FAKE_MONOTONIC": "1",  # as older versions call it
        }

    def move(self, seconds: int) -> None:
        """Set the clock so many seconds off, and wait until its process must have noticed."""
        self._path.write_text(f"{seconds:+d}")
        time.sleep(_CACHE_SECONDS)
