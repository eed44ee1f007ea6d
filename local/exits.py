"""Reports on the terminal that a program of `make run` exited, with its last output.

This is a supervisord event listener (http://supervisord.org/events.html): it reads events from stdin, acknowledges each
on stdout, and writes reports to stderr, which supervisord connects to the terminal.
"""

import re
import sys
import time
from pathlib import Path
from typing import Final, TextIO

from local.logs import SUPERVISOR, log_excerpt, log_path, read_log_end

EVENTS: Final = ("PROCESS_STATE_EXITED", "PROCESS_STATE_BACKOFF", "PROCESS_STATE_FATAL")
"""A program exited; it exited right after its start; supervisord no longer restarts it."""
_QUIET_SECONDS: Final = 15  # minimum time between two reports on the same program


def main() -> None:
    """Report until the supervisor ends; arguments: the log folder, then the programs whose exit is not reported."""
    folder, *unreported_programs = sys.argv[1:]
    reporter = ExitReporter(Path(folder), unreported_programs)
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        header = sys.stdin.readline()
        if not header:
            return
        report = reporter.report(header, sys.stdin)
        if report:
            print(report, file=sys.stderr, flush=True)
        sys.stdout.write("RESULT 2\nOK")


class ExitReporter:
    """Writes the reports; a program that exits repeatedly is reported at most every 15 s."""

    def __init__(self, folder: Path, unreported_programs: list[str]) -> None:
        self._folder = folder
        self._unreported_programs = unreported_programs
        self._reported_at: dict[str, float] = {}
        self._last_output: dict[str, range] = {}
        """For each program, the byte range that its last run wrote to its log."""

    def report(self, header: str, stdin: TextIO) -> str:
        """Read the rest of an event and return its report; empty if there is nothing to report."""
        fields = _parse_fields(header)
        program = _parse_fields(stdin.read(int(fields["len"])))["processname"]
        is_fatal = fields["eventname"] == "PROCESS_STATE_FATAL"
        if program in self._unreported_programs:
            return ""
        if not is_fatal:
            self._record_output(program)
            if time.monotonic() - self._reported_at.get(program, -_QUIET_SECONDS) < _QUIET_SECONDS:
                return ""
        self._reported_at[program] = time.monotonic()
        action = "is not restarted, because it exits at every start" if is_fatal else "is restarted"
        output = log_excerpt(log_path(self._folder, program), self._last_output[program].start)
        return f"sepal: the {program} exited{self._read_exit_status(program)} and {action}. Last output:\n{output}"

    def _record_output(self, program: str) -> None:
        path = log_path(self._folder, program)
        size = path.stat().st_size if path.exists() else 0
        self._last_output[program] = range(self._last_output.get(program, range(0)).stop, size)

    def _read_exit_status(self, program: str) -> str:
        """Return the status from `exited: worker (STATUS; …)`, which supervisord logs before it sends the event."""
        found = re.findall(
            rf" exited: {re.escape(program)} \(([^;)]*)", read_log_end(log_path(self._folder, SUPERVISOR))
        )
        return f" ({found[-1]})" if found else ""


def _parse_fields(line: str) -> dict[str, str]:
    return dict(field.split(":", 1) for field in line.split())


if __name__ == "__main__":
    main()
