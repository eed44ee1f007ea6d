"""What a worker and its pool processes count together, for Prometheus; `docs/operations.md` lists every metric."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.card import ModelRef
from shared.exposition import SECONDS_BUCKETS
from shared.names import Loss, Queue, State

_ROWS_BUCKETS: Final = tuple(2**power for power in range(11))  # up to the largest batch, 1,024 rows


class WorkerMetrics:
    """What workers count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"sepal_{name}", meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, buckets: Iterable[float]) -> dict[Queue, Histogram]:
            made = Histogram(f"sepal_{name}", meaning, ("queue",), buckets=tuple(buckets), registry=registry)
            return {queue: made.labels(queue) for queue in Queue}

        attempts = counter("attempts_total", "Claims of batches.", "queue")
        self._attempts = {queue: attempts.labels(queue) for queue in Queue}
        self._queue_seconds = histogram("queue_seconds", "From a batch's submission to its claim.", SECONDS_BUCKETS)
        self._predict_seconds = histogram("predict_seconds", "Of a batch inside the pipeline.", SECONDS_BUCKETS)
        self._batch_rows = histogram("batch_rows", "Rows of a batch.", _ROWS_BUCKETS)
        final = counter("predictions_final_total", "Predictions that this process made final.", "state", "queue")
        self._final = {
            (state, queue): final.labels(state, queue)
            for state in (State.SUCCEEDED, State.FAILED, State.EXPIRED)
            for queue in Queue
        }
        self._dropped = counter("outcomes_dropped_total", "Outcomes refused, as another attempt has the batch.")
        lost = counter("leases_lost_total", "Attempts that ended without an outcome.", "reason")
        self._lost = {loss: lost.labels(loss) for loss in (Loss.PROCESS, Loss.TIME_LIMIT, Loss.ERROR)}

    def claimed(self, queue: Queue, queue_us: int) -> None:
        """An attempt began, so long after the batch's submission."""
        self._attempts[queue].inc()
        self._queue_seconds[queue].observe(queue_us / 1e6)

    def predicted(self, queue: Queue, n_rows: int, predict_us: int) -> None:
        """A batch has been through the pipeline."""
        self._batch_rows[queue].observe(n_rows)
        self._predict_seconds[queue].observe(predict_us / 1e6)

    def finished(self, queue: Queue, states: Iterable[State], n_open: int) -> None:
        """An outcome was committed.

        Args:
            queue: of the batch.
            states: in which it leaves the batch's predictions.
            n_open: how many of those were canceled before, or wait for other batches.
        """
        for state, count in Tally(states).items():
            n_left_open = min(n_open, count)
            n_open -= n_left_open
            self._final[state, queue].inc(count - n_left_open)

    def dropped(self) -> None:
        """An outcome came too late."""
        self._dropped.inc()

    def lost(self, loss: Loss) -> None:
        """An attempt ended without an outcome."""
        self._lost[loss].inc()


class WorkerCollector(Collector):
    """Looks at what only the worker's parent process knows."""

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
