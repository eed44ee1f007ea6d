"""`python -m tests.preloaded.server SOCKET MODULE…`: imports the modules at the first request, and forks at each."""

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Final
from unittest.mock import patch

from tests.preloaded.start import client_of

# Of prctl(2): the signal that this process gets when its parent ends; its name in `ps`.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15


def main() -> None:
    """Serve until stdin ends; the path exists once requests can be sent."""
    path, *modules = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{path}.new")
        server.listen(64)
        Path(f"{path}.new").rename(path)
        connection = _accept(server)
        for module in modules:
            importlib.import_module(module)
        warnings.filterwarnings("ignore", "'.*' found in sys.modules", RuntimeWarning)  # which is the point
        gc.freeze()
        # A command line of `training` proves its model in preloaded processes too.
        with patch("training.proof.PYTHON_COMMAND", client_of(path)):
            while True:
                if not os.fork():
                    server.close()
                    return _run_apart(connection)
                connection.close()
                connection = _accept(server)
                _reap()


def _accept(server: socket.socket) -> socket.socket:
    stdin = sys.stdin.fileno()
    if stdin in select.select([server.fileno(), stdin], [], [])[0]:
        sys.exit()
    return server.accept()[0]


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass  # all have ended


def _run_apart(connection: socket.socket) -> None:
    """Run the request in another process, and send its pid and its exit code; kill it when the client ends."""
    header, descriptors, *_ = socket.recv_fds(connection, 4, 3)
    (length,) = struct.unpack("!I", header)
    arguments, folder, environment = json.loads(connection.recv(length, socket.MSG_WAITALL))
    if not (child := os.fork()):
        connection.close()
        return _run(arguments, folder, environment, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(struct.pack("!i", child))
    ended = os.pidfd_open(child)
    readable, _, _ = select.select([ended, connection.fileno()], [], [])
    if ended not in readable:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    try:
        connection.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
    except BrokenPipeError:
        pass  # the client was killed
    os._exit(0)


def _run(arguments: list[str], folder: str, environment: dict[str, str], descriptors: list[int]) -> None:
    """Run a module as `python -m` does."""
    os.setsid()  # as `Part` does
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NAME, arguments[0].encode())
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = _code_of(end)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python does before its exit functions
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # without Python's own end, which would write to, and so copy, all memory that is shared


def _code_of(end: SystemExit) -> int:
    """Return the exit code; print a text to stderr, as Python does."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


if __name__ == "__main__":
    main()
