"""The table server: it has loaded the libraries, and forks a process for each connection."""

import gc
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from api.bulk.wire import LISTENING, TableSettings
from api.formats.process import run_job
from shared.memory import keep_freed_memory

_NICENESS: Final = 5  # the gateway's event loop goes first
_BACKLOG: Final = 64


def serve(path: str, settings: TableSettings) -> None:
    """Serve jobs on a Unix socket until standard input ends, which its parent's end does too.

    Args:
        path: of the socket, which must not exist, in a folder that nobody else may enter.
        settings: of each job's process.
    """
    os.nice(_NICENESS)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes ended children; the gateway sees the connection
    keep_freed_memory()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(_BACKLOG)
        _check_that_forks_are_safe()
        sys.stdout.buffer.write(LISTENING)
        sys.stdout.buffer.flush()
        gc.collect()
        gc.freeze()  # children share these objects' pages as long as nothing writes to them
        _accept_connections(listener, settings)
    with suppress(OSError):  # the gateway does it, too, unless it was killed
        Path(path).unlink()
        Path(path).parent.rmdir()


def _check_that_forks_are_safe() -> None:
    """Check that this process has no threads; those of a library would not exist in its children."""
    n_threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208  the names are not paths to follow
    if n_threads > 1:
        raise RuntimeError(f"forks are unsafe: the libraries have started {n_threads - 1} threads")


def _accept_connections(listener: socket.socket, settings: TableSettings) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if listener not in ready:  # nothing is ever written to standard input: it has ended
                return
            connection, _ = listener.accept()
            _fork_process(connection, listener, settings)
            connection.close()


def _fork_process(connection: socket.socket, listener: socket.socket, settings: TableSettings) -> None:
    try:
        pid = os.fork()
    except OSError:  # no memory, or too many processes: the gateway sees that its connection ends
        return
    if pid:
        return
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        run_job(connection, settings)
    finally:
        os._exit(0)  # nothing of the server runs in its children
