"""The table server: loads the libraries once, and forks a process for each connection."""

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

_NICENESS: Final = 5  # lower priority than the gateway's event loop
_BACKLOG: Final = 64


def serve_jobs(socket_path: str, settings: TableSettings) -> None:
    """Serve jobs on a Unix socket until standard input ends, as it does when the parent exits.

    Args:
        socket_path: the path of the socket, which must not exist yet, in a folder that no other user may enter.
        settings: the settings of each table process.
    """
    os.nice(_NICENESS)
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # the kernel reaps children; the gateway notices their end by the connection
    keep_freed_memory()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen(_BACKLOG)
        _check_that_forks_are_safe()
        sys.stdout.buffer.write(LISTENING)
        sys.stdout.buffer.flush()
        gc.collect()
        gc.freeze()  # keeps the pages of these objects shared with the children
        _accept_connections(listener, settings)
    with suppress(OSError):  # the gateway does the same, unless it was killed
        Path(socket_path).unlink()
        Path(socket_path).parent.rmdir()


def _check_that_forks_are_safe() -> None:
    """Raise an error if this process has threads, which would not exist in its children."""
    n_threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208  the names are not paths to follow
    if n_threads > 1:
        raise RuntimeError(f"forks are unsafe: the libraries have started {n_threads - 1} threads")


def _accept_connections(listener: socket.socket, settings: TableSettings) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if listener not in ready:  # standard input is readable only at its end
                return
            connection, _ = listener.accept()
            _fork_process(connection, listener, settings)
            connection.close()


def _fork_process(connection: socket.socket, listener: socket.socket, settings: TableSettings) -> None:
    try:
        pid = os.fork()
    except OSError:  # no memory, or too many processes; the caller closes the connection
        return
    if pid:
        return
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        run_job(connection, settings)
    finally:
        os._exit(0)  # the child must not return into the server's loop
