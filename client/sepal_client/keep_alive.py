"""Options of sockets by which the system notices that the other machine is gone, while both sides are silent."""

import socket
from typing import Final

_IDLE_SECONDS, _INTERVAL_SECONDS, _N_PROBES = 15, 5, 3
_NAMED: Final = {
    "TCP_KEEPIDLE": _IDLE_SECONDS,
    "TCP_KEEPALIVE": _IDLE_SECONDS,  # what macOS calls it
    "TCP_KEEPINTVL": _INTERVAL_SECONDS,
    "TCP_KEEPCNT": _N_PROBES,
}
KEEP_ALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _NAMED.items() if hasattr(socket, name)),
]
