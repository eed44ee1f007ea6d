"""What pool processes tell their worker of the attempts that they have ended.

A line is written into a pipe made before the fork, and read at the parent's next look, many at a time: that costs a
batch a tenth of what counting in the pool process would (docs/decisions/0018-metrics-of-processes-and-of-the-store.md).
"""

import os
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from shared.names import Loss, Queue
from shared.store.schema import BatchState

_QUEUES: Final = tuple(Queue)
COMMITTED: Final = BatchState.COMMITTED.value
DROPPED: Final = "dropped"
_ENDS: Final = (COMMITTED, DROPPED, *Loss)
_LINE: Final = struct.Struct("<BBIQQHHH")  # shorter than PIPE_BUF: writes of several processes do not mix (POSIX)
_READ_BYTES: Final = _LINE.size * 2048


class Report(NamedTuple):
    """One attempt, ended."""

    queue: Queue
    end: str
    """`COMMITTED`, `DROPPED` as another attempt has the batch, or how it was lost."""
    n_rows: int = 0
    queue_us: int = 0
    predict_us: int = 0
    n_succeeded: int = 0
    """Predictions that it has made final, by state."""
    n_failed: int = 0
    n_expired: int = 0


class Reports:
    """The pipe."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def close(self) -> None:
        """Close both ends."""
        os.close(self._read)
        os.close(self._write)

    def tell(self, report: Report) -> None:
        """Called in a pool process; where nobody has read for long, the report is lost."""
        try:
            os.write(self._write, _LINE.pack(_QUEUES.index(report.queue), _ENDS.index(report.end), *report[2:]))
        except BlockingIOError:
            pass  # a full pipe: 2,000 of them, and the parent stands still

    def read(self) -> Iterator[Report]:
        """Called in the parent: what has been told since the last time."""
        while True:
            try:
                lines = os.read(self._read, _READ_BYTES)
            except BlockingIOError:
                return
            for queue, end, *numbers in _LINE.iter_unpack(lines):
                yield Report(_QUEUES[queue], _ENDS[end], *numbers)
