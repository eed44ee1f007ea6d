"""Metrics of the whole cluster, which are the same at every gateway; read from the cluster status at each scrape."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.cluster.status import ClusterStatus
from shared.errors import (
    ArtifactAltered,
    ArtifactIncompatible,
    ArtifactMissing,
    ArtifactUnloadable,
    ArtifactUntrusted,
    BrokerUnavailable,
    ModelUnknown,
    NoWorker,
    RecordIncompatible,
    SepalError,
    Stalled,
)
from shared.names import Queue
from shared.store.status import BulkOverview, Overview

_UNREADY_ERRORS: Final[tuple[type[SepalError], ...]] = (
    *(BrokerUnavailable, ModelUnknown, NoWorker, Stalled, RecordIncompatible),
    *(ArtifactMissing, ArtifactAltered, ArtifactIncompatible, ArtifactUntrusted, ArtifactUnloadable),
)


class ClusterCollector(Collector):
    """Collects metrics of the last refresh; without those of the store if the refresh failed."""

    def __init__(self, cluster: ClusterStatus, backlog_limits: Mapping[Queue, int], max_stored_bytes: int) -> None:
        self._cluster = cluster
        self._backlog_limits = backlog_limits
        self._max_stored_bytes = max_stored_bytes

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield self._unready_metric()
        limits = _labelled_gauge(
            "backlog_limit_rows", "Maximum backlog in rows; predictions beyond it are refused.", "queue"
        )
        for queue, limit in self._backlog_limits.items():
            limits.add_metric([queue], limit)
        yield limits
        yield _gauge(
            "bulk_stored_limit_bytes",
            "Maximum number of bytes that may be reserved in the object store.",
            self._max_stored_bytes,
        )
        if self._cluster.overview is not None:
            yield from _store_metrics(self._cluster.overview)
        model = self._cluster.model.ref
        if model is not None:
            family = _labelled_gauge(
                "model_info", "The model that rows are validated against.", "name", "version", "digest"
            )
            family.add_metric([model.name, model.version, model.digest], 1)
            yield family

    def _unready_metric(self) -> GaugeMetricFamily:
        family = _labelled_gauge("unready", "1 if the gateway is not ready for this reason, else 0.", "code")
        present = {reason.code for reason in self._cluster.unready_reasons()}
        for error in _UNREADY_ERRORS:
            family.add_metric([error.code], int(error.code in present))
        return family


def _store_metrics(overview: Overview) -> Iterator[Metric]:
    backlog = _labelled_gauge(
        "backlog_rows", "Rows accepted and not yet final, except rows of bulk predictions.", "queue"
    )
    oldest = _labelled_gauge("oldest_queued_seconds", "Age of the oldest queued batch; 0 for none.", "queue")
    processes = _labelled_gauge("pool_processes", "Loaded pool processes of the workers that serve the queue.", "queue")
    for queue in Queue:
        backlog.add_metric([queue], overview.backlog(queue))
        oldest.add_metric([queue], overview.oldest_seconds[queue])
        processes.add_metric([queue], overview.queue_processes[queue])
    yield backlog
    yield oldest
    yield processes
    yield from _bulk_metrics(overview.stored)
    yield _gauge("workers", "Live workers with at least one loaded pool process.", overview.workers)
    yield _gauge("dead_letters", "Dead letters in the store.", overview.dead_letters)
    yield _gauge("broker_memory_bytes", "Memory that the broker uses (used_memory).", overview.memory_bytes)
    yield _gauge(
        "broker_memory_limit_bytes",
        "Memory limit of the broker (maxmemory); 0 for no limit.",
        overview.memory_limit_bytes,
    )


def _bulk_metrics(bulk_overview: BulkOverview) -> Iterator[Metric]:
    yield _gauge("bulk_open_predictions", "Bulk predictions that are not final.", bulk_overview.n_open)
    yield _gauge(
        "bulk_oldest_seconds", "Age of the oldest open bulk prediction; 0 for none.", bulk_overview.oldest_seconds
    )
    yield _gauge("bulk_backlog_rows", "Rows of bulk predictions accepted and not yet final.", bulk_overview.backlog)
    yield _gauge(
        "bulk_stored_bytes",
        "Bytes reserved in the object store for the rows and results of bulk predictions.",
        bulk_overview.n_bytes,
    )


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sepal_{name}", help_text, value)


def _labelled_gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sepal_{name}", help_text, labels=labels)
