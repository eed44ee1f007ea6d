"""A fake terminal that records what is written to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from unittest.mock import patch


class Terminal(StringIO):
    """What a terminal without colors was sent."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@contextmanager
def terminal(columns: int = 100) -> Iterator[Terminal]:
    """Standard output and standard error are a terminal."""
    shown = Terminal()
    variables = {"TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1"}
    with patch.dict(os.environ, variables), redirect_stdout(shown), redirect_stderr(shown):
        yield shown
