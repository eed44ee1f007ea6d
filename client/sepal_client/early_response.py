"""Detects a response that arrives while the client is still sending.

A gateway that refuses an upload responds immediately and soon stops reading. A client that continues to send may lose
that response with the connection. Therefore the request body checks for a response before each of its parts.
"""

import socket
from typing import Any, Final

import httpcore

_CONNECTED_EVENT: Final = "connection.connect_tcp.complete"
_STATUS_LINE: Final = b"HTTP/1.1 1"
_NOT_BLOCKING_FLAG: Final = getattr(socket, "MSG_DONTWAIT", 0)


class EarlyResponse:
    """Watches the connection of one request, which must be a new one."""

    def __init__(self, *, is_unencrypted: bool) -> None:
        """Prepare the check.

        Args:
            is_unencrypted: whether the connection has no TLS; with TLS there is no check, because the bytes that have
                arrived may be a TLS message.
        """
        self._is_unencrypted = is_unencrypted
        self._stream: Any = None

    def trace(self, event: str, details: dict[str, Any]) -> None:
        """Record the connection; called by httpcore's `trace` extension."""
        if event == _CONNECTED_EVENT:
            self._stream = details["return_value"]

    def raise_if_arrived(self) -> None:
        """Raise an error if a final response has arrived or the connection is closed.

        Raises:
            httpcore.WriteError: it has; this makes httpcore stop sending and read the response.
        """
        if self._has_arrived() and not self._is_informational():
            raise httpcore.WriteError("the gateway has already responded")

    def _has_arrived(self) -> bool:
        return self._is_unencrypted and self._stream is not None and bool(self._stream.get_extra_info("is_readable"))

    def _is_informational(self) -> bool:
        """Return whether a 1xx response has arrived, or only the beginning of a status line."""
        found = self._stream.get_extra_info("socket")
        try:
            with socket.fromfd(found.fileno(), found.family, found.type) as connection:
                begun = connection.recv(len(_STATUS_LINE), socket.MSG_PEEK | _NOT_BLOCKING_FLAG)
        except OSError:
            return False
        return bool(begun) and _STATUS_LINE.startswith(begun)
