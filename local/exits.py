"""Tells the person at the terminal that a part of `make run` has ended, and what it wrote last.

It is a listener of supervisord's (http://supervisord.org/events.html): events come in on stdin, each is answered on
stdout, and what it writes to stderr is for the terminal.
"""

import re
import sys
import time
from pathlib import Path
from typing import Final, TextIO

from local.logs import SUPERVISOR, log_excerpt, log_file, tail

EVENTS: Final = ("PROCESS_STATE_EXITED", "PROCESS_STATE_BACKOFF", "PROCESS_STATE_FATAL")
"""That a part has ended, that it has ended at once, and that it is started no more."""
_QUIET_SECONDS: Final = 15  # a part that ends again and again is told of this often


def main() -> None:
    """Listen until the supervisor ends; its command line names the folder of the logs, and who may end."""
    folder, *may_end = sys.argv[1:]
    endings = ExitReporter(Path(folder), may_end)
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        header = sys.stdin.readline()
        if not header:
            return
        told = endings.tell(header, sys.stdin)
        if told:
            print(told, file=sys.stderr, flush=True)
        sys.stdout.write("RESULT 2\nOK")


class ExitReporter:
    """What has been told, and when."""

    def __init__(self, folder: Path, may_end: list[str]) -> None:
        self._folder = folder
        self._may_end = may_end
        self._told_at: dict[str, float] = {}
        self._lives: dict[str, range] = {}
        """The bytes of its log that each part wrote in its last life."""

    def tell(self, header: str, stdin: TextIO) -> str:
        """Read the rest of an event; returns what to say of it, if anything."""
        fields = _fields(header)
        part = _fields(stdin.read(int(fields["len"])))["processname"]
        is_over = fields["eventname"] == "PROCESS_STATE_FATAL"
        if part in self._may_end:
            return ""
        if not is_over:
            self._note_life(part)
            if time.monotonic() - self._told_at.get(part, -_QUIET_SECONDS) < _QUIET_SECONDS:
                return ""
        self._told_at[part] = time.monotonic()
        what = "is left alone, as it ends whenever it is started" if is_over else "is started again"
        said = log_excerpt(log_file(self._folder, part), self._lives[part].start)
        return f"sepal: the {part} has ended{self._how(part)}, and {what}. It said:\n{said}"

    def _note_life(self, part: str) -> None:
        path = log_file(self._folder, part)
        size = path.stat().st_size if path.exists() else 0
        self._lives[part] = range(self._lives.get(part, range(0)).stop, size)

    def _how(self, part: str) -> str:
        """Look into the supervisor's log, which says it before its listeners are told: `exited: worker (how; …)`."""
        said = re.findall(rf" exited: {re.escape(part)} \(([^;)]*)", tail(log_file(self._folder, SUPERVISOR)))
        return f" ({said[-1]})" if said else ""


def _fields(line: str) -> dict[str, str]:
    return dict(field.split(":", 1) for field in line.split())


if __name__ == "__main__":
    main()
