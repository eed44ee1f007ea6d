"""Starts and stops the server, and makes the commands of its clients."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CLIENT: Final = Path(__file__).with_name("client.py")
SOCKET_VARIABLE: Final = "TESTS_PRELOADED"
MODULES: Final = ("api.encode", "worker.prove", "training.__main__", "sklearn.pipeline", "pandas")


def command(path: Path | str) -> list[str]:
    """Return the beginning of a command that runs a module in a preloaded process; module and arguments follow."""
    return [sys.executable, "-I", "-S", str(CLIENT), str(path)]


@contextmanager
def running_server() -> Iterator[None]:
    """Run a server, whose socket this process and its children find in the environment."""
    with tempfile.TemporaryDirectory(prefix="sepal-preloaded-") as folder:
        os.environ[SOCKET_VARIABLE] = path = str(Path(folder, "socket"))
        serve = [sys.executable, "-m", "tests.preloaded.server", path, *MODULES]
        with subprocess.Popen(serve, cwd=Path(__file__).parent.parent.parent) as server:
            try:
                yield
            finally:
                server.terminate()
