"""Runs a command in its own pseudo-terminal, so that Ctrl-C is a real signal."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final

from tests.patience import patience

CTRL_C: Final = b"\x03"
_SHOWN: Final = 500  # letters of what is on the terminal, in an error
_TAKE_THE_TERMINAL: Final = """
import fcntl, os, sys, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A terminal in which a command runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int) -> None:
        self._process = process
        self._master = master
        # The terminal may write ^C between the bytes of a letter.
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self.shown = ""
        """All that was written to the terminal, with its control sequences."""

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def wait_for(self, text: str) -> None:
        """Wait until the text has been written."""
        self._read_until(lambda: text in self.shown, repr(text))

    def times(self, text: str) -> int:
        """Return the number of times that a text has been written so far."""
        while self._has_more(0) and self._read():
            pass
        return self.shown.count(text)

    def wait(self) -> int:
        """Wait for the end of the command; return its exit code, negative for a signal."""
        self._read_until(lambda: self._process.poll() is not None, "the end of the command")
        while self._has_more(0) and self._read():
            pass
        return self._process.returncode

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        self._process.send_signal(number)

    def _read_until(self, condition: Callable[[], bool], description: str) -> None:
        deadline = time.monotonic() + patience()
        while not condition():
            assert time.monotonic() < deadline, (
                f"timed out while waiting for {description}; shown last: {self.shown[-_SHOWN:]!r}"
            )
            if self._has_more(0.02):
                self._read()

    def _has_more(self, seconds: float) -> bool:
        return bool(select.select([self._master], [], [], seconds)[0])

    def _read(self) -> bool:
        try:
            read = os.read(self._master, 65_536)
        except OSError:  # EIO: no process has the terminal open any more
            return False
        self.shown += self._decoder.decode(read)
        return bool(read)


@contextmanager
def running(
    command: Sequence[str],
    environment: dict[str, str],
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    columns: int = 100,
) -> Iterator[Terminal]:
    """Run a command in a terminal; standard input and output may be something else."""
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_THE_TERMINAL, *command],
            stdin=stdin or slave,
            stdout=stdout or slave,
            stderr=slave,
            env=environment | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
    finally:
        os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
