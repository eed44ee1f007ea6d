"""Sets alien messages aside: counts and logs them, and keeps them for an operator."""

import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from shared.errors import BrokerUnavailable
from shared.store.transport import StoreRefused

_MAX_KEPT_BYTES: Final = 2048  # per message; a gateway's message is shorter
_MAX_LOGGED_BYTES: Final = 100
_MAX_REASON_CHARACTERS: Final = 200  # a reason may quote the message
_MAX_LOGGED_PER_SECOND: Final = 10

log = structlog.get_logger(__name__)


class AlienMessages:
    """Sets alien messages aside, on the event loop of the parent process."""

    def __init__(self, count_message: Callable[[], None], keep_entry: Callable[[bytes], None]) -> None:
        """Both functions are called once per alien message.

        Args:
            count_message: counts it in the metrics.
            keep_entry: keeps a JSON entry for the operator.
        """
        self._count = count_message
        self._keep = keep_entry
        self._second = 0.0
        self._logged = 0
        self.n_seen = 0
        """Alien messages since this worker started."""

    def __json__(self) -> int:
        """Serialize for Celery's reply to `inspect stats`, which includes the transport options."""
        return self.n_seen

    def set_aside(self, source: str, raw_message: bytes, reason: str) -> None:
        """Count, log and keep a message that was already removed from the broker.

        Args:
            source: the queue, channel or hash that contained it.
            raw_message: the message.
            reason: how it differs from a valid message.
        """
        self.n_seen += 1
        self._count()
        may_log, reason = self._can_log(), reason[:_MAX_REASON_CHARACTERS]
        if may_log:
            fields = {"source": source, "reason": reason, "bytes": len(raw_message)}
            log.warning("set an alien message aside", message=_decode_start(raw_message, _MAX_LOGGED_BYTES), **fields)
        message = _decode_start(raw_message, _MAX_KEPT_BYTES)
        entry = {"at": time.time(), "source": source, "reason": reason, "bytes": len(raw_message), "message": message}
        try:
            self._keep(msgspec.json.encode(entry))
        except (BrokerUnavailable, StoreRefused) as error:  # the store is unavailable or full; the worker goes on
            if may_log:
                log.warning("could not keep an alien message", reason=str(error))

    def _can_log(self) -> bool:
        """Return whether to log a message: at most ten per second; the metric counts all."""
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._logged = now, 0
        self._logged += 1
        return self._logged <= _MAX_LOGGED_PER_SECOND


def _decode_start(raw_message: bytes, max_bytes: int) -> str:
    """Decode the first bytes as UTF-8, with escapes for invalid ones."""
    return raw_message[:max_bytes].decode("utf-8", "backslashreplace")
