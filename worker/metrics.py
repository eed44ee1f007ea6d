"""What a worker counts of its own and its pool processes' attempts, for Prometheus; docs/operations.md has the list."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.card import ModelRef
from shared.exposition import SECONDS_BUCKETS
from shared.names import Loss, Queue, State
from worker.reports import DROPPED, Report

_ROWS_BUCKETS: Final = tuple(2**power for power in range(11))  # up to the largest batch, 1,024 rows


class WorkerMetrics:
    """Lives in the parent process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"sepal_{name}", meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, buckets: Iterable[float]) -> dict[Queue, Histogram]:
            made = Histogram(f"sepal_{name}", meaning, ("queue",), buckets=tuple(buckets), registry=registry)
            return {queue: made.labels(queue) for queue in Queue}

        attempts = counter("attempts_total", "Attempts that have ended while their worker lived.", "queue")
        self._attempts = {queue: attempts.labels(queue) for queue in Queue}
        self._queue_seconds = histogram("queue_seconds", "From a batch's submission to its claim.", SECONDS_BUCKETS)
        self._predict_seconds = histogram("predict_seconds", "Of a batch inside the pipeline.", SECONDS_BUCKETS)
        self._batch_rows = histogram("batch_rows", "Rows of a batch.", _ROWS_BUCKETS)
        final = counter("predictions_final_total", "Predictions that this process made final.", "state", "queue")
        states = (State.SUCCEEDED, State.FAILED, State.EXPIRED)
        self._final = {queue: [final.labels(state, queue) for state in states] for queue in Queue}
        self._dropped = counter("outcomes_dropped_total", "Outcomes refused, as another attempt has the batch.")
        self._aliens = counter("alien_messages_total", "Messages that were none of Sepal's, and were set aside.")
        lost = counter("leases_lost_total", "Attempts that ended without an outcome.", "reason")
        self._lost = {loss.value: lost.labels(loss) for loss in (Loss.PROCESS, Loss.TIME_LIMIT, Loss.ERROR)}

    def take(self, report: Report) -> None:
        """Count one attempt."""
        queue = report.queue
        self._attempts[queue].inc()
        if report.end in self._lost:
            self._lost[report.end].inc()
            return
        self._queue_seconds[queue].observe(report.queue_us / 1e6)
        self._predict_seconds[queue].observe(report.predict_us / 1e6)
        self._batch_rows[queue].observe(report.n_rows)
        if report.end == DROPPED:
            self._dropped.inc()
        counts = report.n_succeeded, report.n_failed, report.n_expired
        for count, counter in zip(counts, self._final[queue], strict=True):
            if count:
                counter.inc(count)

    def count_alien(self) -> None:
        """Count a message that was set aside."""
        self._aliens.inc()


class WorkerCollector(Collector):
    """Looks at what the worker is at the moment."""

    def __init__(self, model: ModelRef, count_loaded: Callable[[], int]) -> None:
        self._model = model
        self._count_loaded = count_loaded

    def collect(self) -> Iterator[Metric]:
        """Write it."""
        yield GaugeMetricFamily(
            "sepal_loaded_processes", "Pool processes of this worker that hold the model.", self._count_loaded()
        )
        info = GaugeMetricFamily(
            "sepal_model_info", "The model that this worker serves.", labels=("name", "version", "digest")
        )
        info.add_metric([self._model.name, self._model.version, self._model.digest], 1)
        yield info
