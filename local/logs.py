"""The log files of `make run`: one for each part, in the supervisor's folder, and the one before it."""

import re
from itertools import takewhile
from pathlib import Path
from typing import Final

SUPERVISOR: Final = "supervisor"
"""Which writes one too."""

_SHOWN_LINES: Final = 8
_READ_BYTES: Final = 64 * 1024
_SUFFIX: Final = ".log"
_CRITICAL: Final = "[critical"  # as structlog writes it
_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d")


def log_file(folder: Path, part: str) -> Path:
    """Where a part writes."""
    return folder / f"{part}{_SUFFIX}"


def begin(folder: Path) -> None:
    """Have every part write a new file; the last run's is kept beside it, by the name that rotation gives."""
    for path in folder.glob(f"*{_SUFFIX}"):
        path.replace(path.with_name(f"{path.name}.1"))


def tail(path: Path, since: int = 0) -> str:
    """Read the end of a log, of what was written `since` it had so many bytes; nothing where there is none."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            file.seek(max(since if since <= size else 0, size - _READ_BYTES))  # a smaller one was begun anew
            return file.read().decode(errors="replace").rstrip()
    except FileNotFoundError:
        return ""


def log_excerpt(path: Path, since: int = 0) -> str:
    """What a part wrote last, indented: what it calls critical, or else the last lines; and where the rest is."""
    lines = _telling(tail(path, since).splitlines())
    if not lines:
        return f"  It has written nothing to {path}."
    return "\n".join([*(f"  | {line}" for line in lines), f"  All of it is in {path}."])


def _telling(lines: list[str]) -> list[str]:
    critical = next((number for number, line in enumerate(lines) if _CRITICAL in line), None)
    if critical is None:
        return lines[-_SHOWN_LINES:]
    first, *rest = lines[critical:]
    traceback = list(takewhile(lambda line: line.strip() and not _DATED.match(line), rest))
    return [first, *traceback[-_SHOWN_LINES:]]
