"""`python client.py SOCKET MODULE [ARGUMENT…]`: runs the module in the server, and exits with the same status.

It is run as a file, without the site packages, and imports nothing of the tests: that would take longer than its work.
"""

import json
import os
import signal
import socket
import struct
import sys
import time


def main() -> None:
    """Hand over this process's arguments, folder, environment and open files; wait for the pid and the exit code."""
    path, *arguments = sys.argv[1:]
    request = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()  # noqa: PTH109 - pathlib takes long
    with socket.socket(socket.AF_UNIX) as server:
        _connect(server, path)
        socket.send_fds(server, [struct.pack("!I", len(request))], [0, 1, 2])
        server.sendall(request)
        for descriptor in (0, 1, 2):
            os.close(descriptor)  # a pipe ends when the new process closes it
        _, code = struct.unpack("!ii", server.recv(8, socket.MSG_WAITALL))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def _connect(server: socket.socket, path: str) -> None:
    """Connect, and wait for a server that has just been started."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return server.connect(path)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


if __name__ == "__main__":
    main()
