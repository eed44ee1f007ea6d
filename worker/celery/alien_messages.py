"""What becomes of a message that is none of a gateway's: it is counted, logged, and kept for an operator."""

import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from shared.errors import BrokerUnavailable
from shared.store.transport import StoreRefused

_KEPT_BYTES: Final = 2048  # of each: a gateway's own message fits
_LOGGED_BYTES: Final = 100
_REASON_CHARACTERS: Final = 200  # one may quote what it found
_LOGGED_A_SECOND: Final = 10

log = structlog.get_logger(__name__)


class AlienMessages:
    """Lives in the parent process, on its event loop."""

    def __init__(self, count: Callable[[], None], keep: Callable[[bytes], None]) -> None:
        """Both are called once for each of them, `keep` with what an operator is to see."""
        self._count = count
        self._keep = keep
        self._second = 0.0
        self._logged = 0
        self.n_seen = 0
        """Since this worker started."""

    def __json__(self) -> int:
        """Stand for itself where Celery sends what its transport was given: in its answer to `inspect stats`."""
        return self.n_seen

    def set_aside(self, source: str, raw: bytes, reason: str) -> None:
        """Deal with one that the broker no longer has.

        Args:
            source: the queue, channel or hash that it was in.
            raw: the message.
            reason: how it differs from what belongs there.
        """
        self.n_seen += 1
        self._count()
        may_log, reason = self._may_log(), reason[:_REASON_CHARACTERS]
        if may_log:
            fields = {"source": source, "reason": reason, "bytes": len(raw)}
            log.warning("set an alien message aside", message=_cut(raw, _LOGGED_BYTES), **fields)
        cut = _cut(raw, _KEPT_BYTES)
        kept = {"at": time.time(), "source": source, "reason": reason, "bytes": len(raw), "message": cut}
        try:
            self._keep(msgspec.json.encode(kept))
        except (BrokerUnavailable, StoreRefused) as error:  # away, or full: this worker has other things to do
            if may_log:
                log.warning("could not keep an alien message", reason=str(error))

    def _may_log(self) -> bool:
        """Whether fewer than ten have been logged this second: of a flood, the metric has the rest."""
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._logged = now, 0
        self._logged += 1
        return self._logged <= _LOGGED_A_SECOND


def _cut(raw: bytes, most: int) -> str:
    """Write the beginning of something as text, whatever it is."""
    return raw[:most].decode("utf-8", "backslashreplace")
