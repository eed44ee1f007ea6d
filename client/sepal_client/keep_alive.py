"""Socket options for TCP keep-alive, which detects an unreachable peer on an idle connection."""

import socket
from typing import Final

_IDLE_SECONDS, _INTERVAL_SECONDS, _N_PROBES = 15, 5, 3
_VALUE_BY_OPTION: Final = {
    "TCP_KEEPIDLE": _IDLE_SECONDS,
    "TCP_KEEPALIVE": _IDLE_SECONDS,  # the name on macOS
    "TCP_KEEPINTVL": _INTERVAL_SECONDS,
    "TCP_KEEPCNT": _N_PROBES,
}
KEEP_ALIVE_OPTIONS: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _VALUE_BY_OPTION.items()
        if hasattr(socket, name)
    ),
]
