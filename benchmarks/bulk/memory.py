"""Samples the peak memory of groups of processes."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import psutil

from benchmarks.serving import resources

_PAUSE_SECONDS: Final = 0.1

GetGroups = Callable[[], Mapping[str, Sequence[psutil.Process]]]
"""Returns the live processes of each group, by name."""


@contextmanager
def sampled_memory_peaks(get_groups: GetGroups) -> Iterator[dict[str, float]]:
    """Sample the proportional set size of each group, in MiB; the dict has the peaks once the block has ended."""
    highest: dict[str, float] = {}
    stopping = threading.Event()

    def sample() -> None:
        while not stopping.wait(_PAUSE_SECONDS):
            for name, processes in get_groups().items():
                highest[name] = max(highest.get(name, 0), resources.memory_mib(processes))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield highest
    finally:
        stopping.set()
        thread.join()
