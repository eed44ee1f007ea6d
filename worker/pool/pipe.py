"""The pipe from pool processes to their Celery parent: which of them have loaded, and how their attempts ended.

It is made before the fork. The parent reads it at each check, many messages at a time: for a batch that costs a tenth
of what counting in the pool process would (docs/decisions/0018-metrics-of-processes-and-of-the-store.md).
"""

import os
import select
import struct
from collections.abc import Collection, Iterator
from typing import Final

from shared.names import Queue
from worker.telemetry.metrics import ENDS, AttemptReport

_QUEUES: Final = tuple(Queue)
_REPORT: Final = struct.Struct("<BBIQQHHH")  # shorter than PIPE_BUF: writes of several processes do not mix (POSIX)
_LOADED: Final = len(ENDS)  # in the place of an attempt's end: the process has loaded; its pid follows
_READ_BYTES: Final = _REPORT.size * 2048


class PoolPipe:
    """Written by pool processes, read by their parent."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._loaded: set[int] = set()

    def close(self) -> None:
        """Close both ends."""
        os.close(self._read_end)
        os.close(self._write_end)

    def report(self, report: AttemptReport) -> None:
        """Called in a pool process: tell how an attempt ended; dropped where the parent has not read for long."""
        message = _REPORT.pack(_QUEUES.index(report.queue), ENDS.index(report.end), *report[2:])
        try:
            os.write(self._write_end, message)
        except BlockingIOError:
            pass  # the pipe is full of 2,000 reports: the parent no longer reads

    def report_loaded(self, pid: int) -> None:
        """Called in a pool process, once it can take a batch; waits for room in the pipe, for this is never dropped."""
        message = _REPORT.pack(0, _LOADED, pid, 0, 0, 0, 0, 0)
        while True:
            try:
                os.write(self._write_end, message)
            except BlockingIOError:
                select.select([], [self._write_end], [])
            else:
                return

    def read(self) -> Iterator[AttemptReport]:
        """Called in the parent: the reports since the last call; also notes which processes have loaded."""
        while True:
            try:
                messages = os.read(self._read_end, _READ_BYTES)
            except BlockingIOError:
                return
            for queue, end, number, *numbers in _REPORT.iter_unpack(messages):
                if end == _LOADED:
                    self._loaded.add(number)
                else:
                    yield AttemptReport(_QUEUES[queue], ENDS[end], number, *numbers)

    def count_loaded(self, living: Collection[int]) -> int:
        """Called in the parent after `read`: how many of the `living` pool processes have loaded."""
        self._loaded.intersection_update(living)
        return len(self._loaded)
