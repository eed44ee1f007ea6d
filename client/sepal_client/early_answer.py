"""Notices that a gateway has answered while its client is still sending.

A gateway that refuses an upload answers at once, and then reads no more than it must. A client that goes on sending may
lose that response with the connection; so the body looks, before each of its parts, whether one has arrived.
"""

import socket
from typing import Any, Final

import httpcore

_CONNECTED: Final = "connection.connect_tcp.complete"
_STATUS_LINE: Final = b"HTTP/1.1 1"
_NOT_BLOCKING: Final = getattr(socket, "MSG_DONTWAIT", 0)


class EarlyAnswer:
    """Watches the connection of one request, which must be a new one."""

    def __init__(self, *, is_plain: bool) -> None:
        """Watch nothing yet.

        Args:
            is_plain: whether the connection is not encrypted; otherwise what has arrived may be a message of TLS.
        """
        self._is_plain = is_plain
        self._stream: Any = None

    def trace(self, event: str, details: dict[str, Any]) -> None:
        """Learn of the connection; httpcore's extension `trace` calls it."""
        if event == _CONNECTED:
            self._stream = details["return_value"]

    def check(self) -> None:
        """Stop sending, if the response has arrived, or the connection has ended.

        Raises:
            httpcore.WriteError: which makes httpcore read the response.
        """
        if self._has_arrived() and not self._is_informational():
            raise httpcore.WriteError("the gateway has answered already")

    def _has_arrived(self) -> bool:
        return self._is_plain and self._stream is not None and bool(self._stream.get_extra_info("is_readable"))

    def _is_informational(self) -> bool:
        """Whether what has arrived is no final response, or only the beginning of its first line."""
        found = self._stream.get_extra_info("socket")
        try:
            with socket.fromfd(found.fileno(), found.family, found.type) as connection:
                begun = connection.recv(len(_STATUS_LINE), socket.MSG_PEEK | _NOT_BLOCKING)
        except OSError:
            return False
        return bool(begun) and _STATUS_LINE.startswith(begun)
