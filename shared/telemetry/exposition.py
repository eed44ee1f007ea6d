"""What Prometheus reads: the metrics of one process, or of all that count together with it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from shared.telemetry.processes import shared_folder

SECONDS_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Of every histogram of times: from a fast answer at rest to the longest wait and the longest batch."""


class Exposition:
    """Writes metrics in the format that the reader asks for."""

    def __init__(self, registry: CollectorRegistry, *collectors: Collector) -> None:
        """Add collectors that look when they are asked to what this process counts.

        Args:
            registry: where its counters, gauges and histograms were made.
            collectors: of what only the process that is asked can tell.
        """
        disable_created_metrics()  # a second series for each counter and histogram, which nobody asks for
        self._folder = shared_folder()
        self._registry = registry
        if self._folder is not None:
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry, str(self._folder))
        for collector in (ProcessCollector(registry=None), *collectors):
            self._registry.register(collector)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Write all metrics.

        Args:
            accept: the request's `Accept`.

        Returns:
            The body and its media type.
        """
        if self._folder is not None:
            _forget_dead_processes(self._folder)
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encode, media_type = choose_encoder("")
        return encode(self._registry), media_type


def _forget_dead_processes(folder: Path) -> None:
    """What a process counted outlives it; what it held does not."""
    for path in folder.glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except OSError:  # gone, or somebody else's by now
            with suppress(FileNotFoundError):  # another reader was faster
                mark_process_dead(pid, str(folder))
