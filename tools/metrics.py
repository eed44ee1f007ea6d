"""Generates the table of all metrics from the collectors that define them."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from api.cluster.metrics import ClusterCollector
from api.cluster.status import ClusterStatus
from api.telemetry.metrics import ACCEPTED_OUTCOME, GatewayMetrics
from shared.card import Data, ModelCard
from shared.columns import Column, ModelInput, ValueType
from shared.names import Queue
from shared.store.status import Overview
from worker.telemetry.metrics import WorkerCollector, WorkerMetrics

_CARD: Final = ModelCard(
    name="model",
    version="1",
    digest=f"sha256:{'0' * 64}",
    input=ModelInput(
        kind="matrix", library="numpy", columns=(Column(name="x", type=ValueType.FLOAT64, dtype="float64"),)
    ),
    classes=None,
    outputs=("prediction",),
    versions={},
    data=Data(source="", rows=1),
    metrics={},
    example=((0.0,),),
)
_OVERVIEW: Final = Overview(
    card=_CARD.model_dump_json(by_alias=True).encode(),
    gateways=0,
    workers=0,
    pool_processes=0,
    queue_processes=dict.fromkeys(Queue, 0),
    accepted_rows=dict.fromkeys(Queue, 0),
    final_rows=dict.fromkeys(Queue, 0),
    oldest_seconds=dict.fromkeys(Queue, 0.0),
    dead_letters=0,
    memory_bytes=0,
    memory_limit_bytes=0,
)
_LIMITS: Final = dict.fromkeys(Queue, 1), 1
_BUCKET_LABELS: Final = {"le"}


class MetricRow(NamedTuple):
    """A metric; `source` is the process that counts it, or `store` if gateways read it from the store."""

    name: str
    type: str
    labels: tuple[str, ...]
    source: str
    meaning: str


def list_metrics() -> list[MetricRow]:
    """List the metrics of gateway and worker, sorted by name."""
    gateway, worker = CollectorRegistry(), CollectorRegistry()
    counted = GatewayMetrics(gateway)
    counted.record_request("GET", "/livez", 200, 0.0)  # the metric has samples, and so labels, only after a first call
    counted.count_upload("csv", ACCEPTED_OUTCOME, 0.0)
    counted.count_download("csv", "complete")
    counted.observe_and_set_gauges(n_waiters=0, n_gathering_rows=0)
    WorkerMetrics(worker)
    worker.register(WorkerCollector(_CARD.ref, lambda: 1))
    local = {family.name for family in ClusterCollector(_cluster_status(), *_LIMITS).collect()}
    all_of_cluster = list(ClusterCollector(_cluster_status(_OVERVIEW), *_LIMITS).collect())
    return sorted(
        [
            *_metric_rows("gateway", gateway.collect()),
            *_metric_rows("gateway", [family for family in all_of_cluster if family.name in local]),
            *_metric_rows("store", [family for family in all_of_cluster if family.name not in local]),
            *_metric_rows("worker", worker.collect()),
        ]
    )


def metrics_table() -> str:
    """Return the metrics as a Markdown table."""
    return "\n".join(
        ["| metric | type | labels | source | meaning |", "|---|---|---|---|---|", *map(_table_line, list_metrics())]
    )


def _table_line(row: MetricRow) -> str:
    labels = ", ".join(f"`{label}`" for label in row.labels)
    return f"| `{row.name}` | {row.type} | {labels} | {row.source} | {row.meaning} |"


def _metric_rows(source: str, families: Iterable[Metric]) -> Iterator[MetricRow]:
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - _BUCKET_LABELS
        yield MetricRow(name, family.type, tuple(sorted(labels)), source, family.documentation)


def _cluster_status(*overviews: Overview) -> ClusterStatus:
    """Return the cluster status of a gateway that has read these overviews."""
    remaining = iter(overviews)

    async def read_overview() -> Overview:
        return next(remaining)

    cluster = ClusterStatus(read_overview, lambda: True, stalled_after_seconds=1)
    for _ in overviews:
        asyncio.run(cluster.refresh())
    return cluster
