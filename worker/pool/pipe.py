"""The pipe from pool processes to their Celery parent: which of them have loaded, and how their attempts ended.

It is created before the fork. At each check the parent reads many reports together: per batch, that costs a tenth of
counting in the pool process (docs/decisions/0018-metrics-of-processes-and-of-the-store.md).
"""

import os
import select
import struct
from collections.abc import Collection, Iterator
from typing import Final

from shared.names import Queue
from worker.telemetry.metrics import ENDS, SLICE_ENDS, AttemptReport, SliceReport

_QUEUES: Final = tuple(Queue)
_REPORT: Final = struct.Struct("<BBIQQHHH")  # shorter than PIPE_BUF: writes of several processes do not mix (POSIX)
_LOADED: Final = len(ENDS)  # instead of an attempt's end: the process has loaded; its pid follows
_SLICE: Final = _LOADED + 1  # instead of an attempt's end: the report is of a slice, in a layout of the same length
_SLICE_REPORT: Final = struct.Struct("<BBIIIIIIxx")
_MAX_NUMBER: Final = 2**32 - 1  # microseconds: more than an hour
_LOAD_FAILED: Final = _SLICE + 1  # the process cannot load the model
_READ_BYTES: Final = _REPORT.size * 2048


class PoolPipe:
    """A pipe that pool processes write and their parent reads."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._loaded: set[int] = set()
        self._has_load_failure = False

    def close(self) -> None:
        """Close both ends."""
        os.close(self._read_end)
        os.close(self._write_end)

    def report(self, report: AttemptReport) -> None:
        """Report how an attempt ended; called in a pool process. The report is dropped if the pipe is full."""
        self._write(_REPORT.pack(_QUEUES.index(report.queue), ENDS.index(report.end), *report[2:]))

    def report_slice(self, report: SliceReport) -> None:
        """Report how an attempt at a slice ended, as `report` does."""
        numbers = [min(number, _MAX_NUMBER) for number in report[1:]]
        self._write(_SLICE_REPORT.pack(SLICE_ENDS.index(report.end), _SLICE, *numbers))

    def _write(self, message: bytes) -> None:
        try:
            os.write(self._write_end, message)
        except BlockingIOError:
            pass  # full, with 2,000 reports: the parent no longer reads

    def report_loaded(self, pid: int) -> None:
        """Report that the calling pool process has loaded; wait while the pipe is full, so that it is never dropped."""
        self._write_blocking(_LOADED, pid)

    def report_load_failure(self, pid: int) -> None:
        """Report that the calling pool process cannot load the model; never dropped, as `report_loaded`."""
        self._write_blocking(_LOAD_FAILED, pid)

    def _write_blocking(self, kind: int, pid: int) -> None:
        message = _REPORT.pack(0, kind, pid, 0, 0, 0, 0, 0)
        while True:
            try:
                os.write(self._write_end, message)
            except BlockingIOError:
                select.select([], [self._write_end], [])
            else:
                return

    def read(self) -> Iterator[AttemptReport | SliceReport]:
        """Yield the reports since the last call and record which processes have loaded; called in the parent."""
        while True:
            try:
                messages = os.read(self._read_end, _READ_BYTES)
            except BlockingIOError:
                return
            for start in range(0, len(messages), _REPORT.size):
                if messages[start + 1] == _SLICE:
                    end, _, *numbers = _SLICE_REPORT.unpack_from(messages, start)
                    yield SliceReport(SLICE_ENDS[end], *numbers)
                    continue
                queue, end, first, *rest = _REPORT.unpack_from(messages, start)
                if end == _LOADED:
                    self._loaded.add(first)
                elif end == _LOAD_FAILED:
                    self._has_load_failure = True
                else:
                    yield AttemptReport(_QUEUES[queue], ENDS[end], first, *rest)

    def has_load_failure(self) -> bool:
        """Return whether a pool process could not load the model; drops all unread reports, so call it at the end."""
        for _ in self.read():
            pass
        return self._has_load_failure

    def count_loaded(self, living: Collection[int]) -> int:
        """Return how many of the `living` pool processes have loaded; called in the parent after `read`."""
        self._loaded.intersection_update(living)
        return len(self._loaded)
