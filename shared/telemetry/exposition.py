"""Exposes the metrics of one process, or of all processes of a gateway, to Prometheus."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from shared.telemetry.processes import multiprocess_folder

SECONDS_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Buckets of every histogram of times, from the fastest response to the longest wait and the longest batch."""


class Exposition:
    """Writes metrics in the format that the scraper requests."""

    def __init__(self, registry: CollectorRegistry, *collectors: Collector) -> None:
        """Combine a process's metrics with those that are collected at each scrape.

        Args:
            registry: the counters, gauges and histograms of the process.
            collectors: collectors of metrics that only the scraped process has.
        """
        disable_created_metrics()  # an additional series for each counter and histogram, which nothing uses
        self._folder = multiprocess_folder()
        self._registry = registry
        if self._folder is not None:
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry, str(self._folder))
        for collector in (ProcessCollector(registry=None), *collectors):
            self._registry.register(collector)

    def render(self, accept_header: str) -> tuple[bytes, str]:
        """Write all metrics.

        Args:
            accept_header: the request's `Accept` header.

        Returns:
            The body and its media type.
        """
        if self._folder is not None:
            _delete_gauges_of_dead_processes(self._folder)
        try:
            encode, media_type = choose_encoder(accept_header)
        except (TypeError, ValueError):  # the header is invalid
            encode, media_type = choose_encoder("")
        return encode(self._registry), media_type


def _delete_gauges_of_dead_processes(folder: Path) -> None:
    """Delete the gauges of dead processes, but keep their counters."""
    for path in folder.glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except OSError:  # it has exited, or another user's process has its pid
            with suppress(FileNotFoundError):  # another scrape has deleted it
                mark_process_dead(pid, str(folder))
