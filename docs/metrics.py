"""The table of all metrics, from the code that makes them."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from api.metrics import GatewayMetrics, WholeCollector
from shared.card import ModelRef
from shared.errors import SepalError
from shared.names import Queue
from shared.store.status import Overview
from worker.metrics import WorkerCollector, WorkerMetrics

_MODEL: Final = ModelRef(name="", version="", digest="")
_LIMITS: Final = dict.fromkeys(Queue, 1)
_OWN_TO_BUCKETS: Final = {"le"}


class Row(NamedTuple):
    """One metric."""

    name: str
    type: str
    labels: tuple[str, ...]
    where: str
    meaning: str


def metrics() -> list[Row]:
    """List the metrics of both processes, by name."""
    gateway, worker, store = CollectorRegistry(), CollectorRegistry(), _Store()
    counted = GatewayMetrics(gateway)
    counted.answered("GET", "/livez", 200, 0.0)  # its labels are known once it has been used
    counted.hold(n_waiters=0, n_gathering_rows=0)
    WorkerMetrics(worker)
    worker.register(WorkerCollector(_MODEL, lambda: 1))
    own = {family.name for family in WholeCollector(_Unknown(), _LIMITS).collect()}
    whole = list(WholeCollector(store, _LIMITS).collect())
    return sorted(
        [
            *_rows("gateway", gateway.collect()),
            *_rows("gateway", [family for family in whole if family.name in own]),
            *_rows("store", [family for family in whole if family.name not in own]),
            *_rows("worker", worker.collect()),
        ]
    )


def table() -> str:
    """Write them in Markdown."""
    return "\n".join(["| metric | type | labels | of the | |", "|---|---|---|---|---|", *map(_line, metrics())])


def _line(row: Row) -> str:
    labels = ", ".join(f"`{label}`" for label in row.labels)
    return f"| `{row.name}` | {row.type} | {labels} | {row.where} | {row.meaning} |"


def _rows(where: str, families: Iterable[Metric]) -> Iterator[Row]:
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - _OWN_TO_BUCKETS
        yield Row(name, family.type, tuple(sorted(labels)), where, family.documentation)


class _Unknown:
    """A whole of which nothing is known."""

    model: ModelRef | None = None
    overview: Overview | None = None

    def unready_reasons(self) -> list[SepalError]:
        return []


class _Store(_Unknown):
    """One of which everything is."""

    model = _MODEL
    overview: Overview | None = Overview(
        card=None,
        gateways=0,
        workers=0,
        pool_processes=0,
        accepted_rows=dict.fromkeys(Queue, 0),
        final_rows=dict.fromkeys(Queue, 0),
        oldest_seconds=dict.fromkeys(Queue, 0.0),
        dead_letters=0,
        memory_bytes=0,
        memory_limit_bytes=0,
    )
