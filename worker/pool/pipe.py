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
from worker.telemetry.metrics import ATTEMPT_ENDS, SLICE_ENDS, AttemptReport, SliceReport

_QUEUES: Final = tuple(Queue)
# Shorter than PIPE_BUF: writes of several processes do not mix (POSIX).
_ATTEMPT_STRUCT: Final = struct.Struct("<BBIQQHHH")
_LOADED_KIND: Final = len(ATTEMPT_ENDS)  # instead of an attempt's end: the process has loaded; its pid follows
# Instead of an attempt's end: the report is of a slice, in a layout of the same length.
_SLICE_KIND: Final = _LOADED_KIND + 1
_SLICE_STRUCT: Final = struct.Struct("<BBIIIIIIxx")
_MAX_NUMBER: Final = 2**32 - 1  # microseconds: more than an hour
_LOAD_FAILED_KIND: Final = _SLICE_KIND + 1  # the process cannot load the model
_READ_BYTES: Final = _ATTEMPT_STRUCT.size * 2048


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

    def report_attempt(self, report: AttemptReport) -> None:
        """Report how an attempt ended; called in a pool process. The report is dropped if the pipe is full."""
        self._write(_ATTEMPT_STRUCT.pack(_QUEUES.index(report.queue), ATTEMPT_ENDS.index(report.end), *report[2:]))

    def report_slice(self, report: SliceReport) -> None:
        """Report how an attempt at a slice ended, as `report_attempt` does."""
        numbers = [min(number, _MAX_NUMBER) for number in report[1:]]
        self._write(_SLICE_STRUCT.pack(SLICE_ENDS.index(report.end), _SLICE_KIND, *numbers))

    def _write(self, message: bytes) -> None:
        try:
            os.write(self._write_end, message)
        except BlockingIOError:
            pass  # full, with 2,000 reports: the parent no longer reads

    def report_loaded(self, pid: int) -> None:
        """Report that the calling pool process has loaded; wait while the pipe is full, so that it is never dropped."""
        self._write_blocking(_LOADED_KIND, pid)

    def report_load_failure(self, pid: int) -> None:
        """Report that the calling pool process cannot load the model; never dropped, as `report_loaded`."""
        self._write_blocking(_LOAD_FAILED_KIND, pid)

    def _write_blocking(self, kind: int, pid: int) -> None:
        message = _ATTEMPT_STRUCT.pack(0, kind, pid, 0, 0, 0, 0, 0)
        while True:
            try:
                os.write(self._write_end, message)
            except BlockingIOError:
                select.select([], [self._write_end], [])
            else:
                return

    def read_reports(self) -> Iterator[AttemptReport | SliceReport]:
        """Yield the reports since the last call and record which processes have loaded; called in the parent."""
        while True:
            try:
                messages = os.read(self._read_end, _READ_BYTES)
            except BlockingIOError:
                return
            for start in range(0, len(messages), _ATTEMPT_STRUCT.size):
                if messages[start + 1] == _SLICE_KIND:
                    end, _, *numbers = _SLICE_STRUCT.unpack_from(messages, start)
                    yield SliceReport(SLICE_ENDS[end], *numbers)
                    continue
                queue, end, first, *rest = _ATTEMPT_STRUCT.unpack_from(messages, start)
                if end == _LOADED_KIND:
                    self._loaded.add(first)
                elif end == _LOAD_FAILED_KIND:
                    self._has_load_failure = True
                else:
                    yield AttemptReport(_QUEUES[queue], ATTEMPT_ENDS[end], first, *rest)

    def has_load_failure(self) -> bool:
        """Return whether a pool process could not load the model; drops all unread reports, so call it at the end."""
        for _ in self.read_reports():
            pass
        return self._has_load_failure

    def count_loaded(self, living_pids: Collection[int]) -> int:
        """Return how many of these pool processes have loaded; called in the parent after `read_reports`."""
        self._loaded.intersection_update(living_pids)
        return len(self._loaded)
