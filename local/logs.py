"""The log files of `make run`, one for each program, of this run and the previous one."""

import re
from itertools import takewhile
from pathlib import Path
from typing import Final

SUPERVISOR: Final = "supervisor"
"""The name of supervisord's log."""

_SHOWN_LINES: Final = 8
_READ_BYTES: Final = 64 * 1024
_SUFFIX: Final = ".log"
_CRITICAL_MARK: Final = "[critical"  # as structlog writes it
_DATE_START: Final = re.compile(r"\d{4}-\d\d-\d\d")


def log_path(folder: Path, program: str) -> Path:
    """Return the path of a program's log."""
    return folder / f"{program}{_SUFFIX}"


def rotate_logs(folder: Path) -> None:
    """Rename every log to `NAME.log.1`, as supervisord's rotation does, so that a run starts with new logs."""
    for path in folder.glob(f"*{_SUFFIX}"):
        path.replace(path.with_name(f"{path.name}.1"))


def read_log_end(path: Path, first_byte: int = 0) -> str:
    """Read the end of a log, from byte `first_byte` at the earliest; empty if there is no such file."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            file.seek(
                max(first_byte if first_byte <= size else 0, size - _READ_BYTES)
            )  # a smaller file was rotated meanwhile
            return file.read().decode(errors="replace").rstrip()
    except FileNotFoundError:
        return ""


def log_excerpt(path: Path, first_byte: int = 0) -> str:
    """Return the first critical entry of a log, or else its last lines, indented, and the log's path."""
    lines = _select_lines(read_log_end(path, first_byte).splitlines())
    if not lines:
        return f"  No output in {path}"
    return "\n".join([*(f"  | {line}" for line in lines), f"  Full log: {path}"])


def _select_lines(lines: list[str]) -> list[str]:
    critical = next((number for number, line in enumerate(lines) if _CRITICAL_MARK in line), None)
    if critical is None:
        return lines[-_SHOWN_LINES:]
    first, *rest = lines[critical:]
    traceback = list(takewhile(lambda line: line.strip() and not _DATE_START.match(line), rest))
    return [first, *traceback[-_SHOWN_LINES:]]
