"""What a gateway counts, and what it knows of the whole, for Prometheus.

What is the store's own (the backlog, the workers, the model) is the same at every gateway; all else is to be added up.
`docs/operations.md` lists every metric.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.card import ModelRef
from shared.errors import (
    ArtifactAltered,
    ArtifactIncompatible,
    ArtifactMissing,
    ArtifactUnloadable,
    BrokerUnavailable,
    ModelUnknown,
    NoWorker,
    OperatorsOnly,
    RecordIncompatible,
    RequestRefused,
    SepalError,
    Stalled,
)
from shared.exposition import SECONDS_BUCKETS
from shared.names import Loss, Queue, State
from shared.store.status import Overview

_AT_ONCE: Final = 128
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_UNREADY: Final[tuple[type[SepalError], ...]] = (
    *(BrokerUnavailable, ModelUnknown, NoWorker, Stalled, RecordIncompatible),
    *(ArtifactMissing, ArtifactAltered, ArtifactIncompatible, ArtifactUnloadable),
)


class GatewayMetrics:
    """What gateways count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"sepal_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"sepal_{name}", meaning, registry=registry, multiprocess_mode="livesum")

        self._requests = Histogram(
            "sepal_http_request_seconds",
            "From a request's arrival to its response.",
            ("method", "route", "status"),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self._unobserved: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        accepted = counter("predictions_accepted_total", "Predictions that were given an id.", "queue")
        rows = counter("rows_accepted_total", "Rows of accepted predictions.", "queue")
        self._accepted = {queue: (accepted.labels(queue), rows.labels(queue)) for queue in Queue}
        refused = counter("predictions_refused_total", "Predictions that were given no id.", "code")
        codes = {error.code for error in RequestRefused.__subclasses__()} - {OperatorsOnly.code}
        self._refused = {code: refused.labels(code) for code in sorted(codes)}
        final = counter("predictions_final_total", "Predictions that this process made final.", "state", "queue")
        self._final = {
            (state, queue): final.labels(state, queue) for state in (State.CANCELED, State.FAILED) for queue in Queue
        }
        lost = counter("leases_lost_total", "Attempts that ended without an outcome.", "reason")
        self._lost = lost.labels(Loss.WORKER)
        self._reconciled = counter("batches_reconciled_total", "Batches published again, as nobody had them.")
        self._split = counter("batches_split_total", "Batches split to find what ends their attempts.")
        self._buried = counter("batches_buried_total", "Batches that became dead letters.")
        self._alien = counter("alien_messages_total", "Messages that were none of Sepal's, and were set aside.")
        self._waiters = gauge("waiters", "Requests that wait for an answer.")
        self._gathering = gauge("gathering_rows", "Rows that wait in a gateway for their batch to leave.")

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        unobserved = self._unobserved[method, route, status]
        unobserved.append(seconds)
        if len(unobserved) >= _AT_ONCE:
            self._observe()

    def accepted(self, queue: Queue, n_predictions: int, n_rows: int) -> None:
        """Predictions were recorded."""
        predictions, rows = self._accepted[queue]
        predictions.inc(n_predictions)
        rows.inc(n_rows)

    def refused(self, code: str) -> None:
        """A prediction was not accepted."""
        self._refused[code].inc()

    def canceled(self, queue: Queue) -> None:
        """A prediction was given up by its client."""
        self._final[State.CANCELED, queue].inc()

    def reconciled(self, n_published: int, n_lost: int) -> None:
        """Batches were put back: from nowhere, or from lost workers."""
        self._reconciled.inc(n_published)
        self._lost.inc(n_lost)

    def split(self) -> None:
        """A batch was replaced by its predictions."""
        self._split.inc()

    def buried(self, queue: Queue) -> None:
        """A batch became a dead letter, and its prediction failed."""
        self._buried.inc()
        self._final[State.FAILED, queue].inc()

    def alien(self) -> None:
        """Somebody else published on the reply channel."""
        self._alien.inc()

    def hold(self, *, n_waiters: int, n_gathering_rows: int) -> None:
        """Once a second: say what this process holds."""
        self._observe()
        self._waiters.set(n_waiters)
        self._gathering.set(n_gathering_rows)

    def _observe(self) -> None:
        """Many at once cost a third each of what one costs in between other things."""
        for (method, route, status), durations in self._unobserved.items():
            known = method if method in _METHODS else "other"
            child = self._requests.labels(known, route, status)
            for seconds in durations:
                child.observe(seconds)
        self._unobserved.clear()


class Whole(Protocol):
    """Who knows the whole."""

    overview: Overview | None

    @property
    def model(self) -> ModelRef | None:
        """That rows are validated against."""

    def unready_reasons(self) -> list[SepalError]:
        """Why a prediction sent now would not be answered."""


class WholeCollector(Collector):
    """Looks at what this process has last seen of the store."""

    def __init__(self, whole: Whole, backlog_limits: Mapping[Queue, int]) -> None:
        self._whole = whole
        self._backlog_limits = backlog_limits

    def collect(self) -> Iterator[Metric]:
        """Write it; while the broker cannot be reached nothing of the store is claimed."""
        yield self._unready()
        limits = _labelled("backlog_limit_rows", "Rows beyond which predictions are refused.", "queue")
        for queue, limit in self._backlog_limits.items():
            limits.add_metric([queue], limit)
        yield limits
        if self._whole.overview is not None:
            yield from _of_store(self._whole.overview)
        model = self._whole.model
        if model is not None:
            family = _labelled("model_info", "The model that rows are validated against.", "name", "version", "digest")
            family.add_metric([model.name, model.version, model.digest], 1)
            yield family

    def _unready(self) -> GaugeMetricFamily:
        family = _labelled("unready", "Whether this is a reason for the gateway not to be ready.", "code")
        present = {reason.code for reason in self._whole.unready_reasons()}
        for error in _UNREADY:
            family.add_metric([error.code], int(error.code in present))
        return family


def _of_store(overview: Overview) -> Iterator[Metric]:
    backlog = _labelled("backlog_rows", "Rows accepted and not yet final.", "queue")
    oldest = _labelled("oldest_queued_seconds", "Age of the oldest batch that no worker has claimed.", "queue")
    for queue in Queue:
        backlog.add_metric([queue], overview.backlog(queue))
        oldest.add_metric([queue], overview.oldest_seconds[queue])
    yield backlog
    yield oldest
    yield _gauge("workers", "Workers that hold the model and announce themselves.", overview.workers)
    yield _gauge("pool_processes", "Pool processes of all workers that hold the model.", overview.pool_processes)
    yield _gauge("dead_letters", "Dead letters that wait for an operator.", overview.dead_letters)
    yield _gauge("broker_memory_bytes", "Memory that the broker uses.", overview.memory_bytes)
    yield _gauge("broker_memory_limit_bytes", "Its maxmemory; 0 for none.", overview.memory_limit_bytes)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sepal_{name}", meaning, value)


def _labelled(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sepal_{name}", meaning, labels=labels)
