"""Counters and histograms of a worker and its pool processes, for Prometheus; `docs/operations.md` lists them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.card import ModelRef
from shared.names import LostReason, Queue, State
from shared.store.schema import BatchState
from shared.telemetry.exposition import SECONDS_BUCKETS

_ROWS_BUCKETS: Final = tuple(2**power for power in range(11))  # up to the largest batch, 1,024 rows

COMMITTED: Final = BatchState.COMMITTED.value
DROPPED: Final = "dropped"
ATTEMPT_ENDS: Final = (COMMITTED, DROPPED, *LostReason)
"""How an attempt can end: its outcome was committed or refused, or it was lost."""
GIVEN_BACK: Final = "given-back"
HALVED: Final = "halved"
SLICE_ENDS: Final = (COMMITTED, DROPPED, GIVEN_BACK, HALVED)
"""How an attempt at a slice can end, unless it is lost: its result was committed or refused; the object store was
unavailable; or the slice was halved."""


class AttemptReport(NamedTuple):
    """How one attempt ended."""

    queue: Queue
    end: str
    """One of `ATTEMPT_ENDS`."""
    n_rows: int = 0
    queue_us: int = 0
    """Microseconds from the batch's submission to its claim."""
    predict_us: int = 0
    """Microseconds inside the pipeline."""
    n_succeeded: int = 0
    """Predictions that the attempt made final, by state."""
    n_failed: int = 0
    n_expired: int = 0


class SliceReport(NamedTuple):
    """How one attempt at a slice ended."""

    end: str
    """One of `SLICE_ENDS`."""
    n_rows: int = 0
    n_bad: int = 0
    """Rows without a result."""
    queue_us: int = 0
    """Microseconds from the slice's submission to its claim."""
    read_us: int = 0
    predict_us: int = 0
    write_us: int = 0


class WorkerMetrics:
    """The counters and histograms of the parent process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"sepal_{name}", help_text, labels, registry=registry)

        def histogram(name: str, help_text: str, buckets: Iterable[float]) -> dict[Queue, Histogram]:
            made = Histogram(f"sepal_{name}", help_text, ("queue",), buckets=tuple(buckets), registry=registry)
            return {queue: made.labels(queue) for queue in Queue}

        attempts = counter("attempts_total", "Attempts that ended while their worker was running.", "queue")
        self._attempts = {queue: attempts.labels(queue) for queue in Queue}
        self._queue_seconds = histogram(
            "queue_seconds", "Time from the submission of a batch to its claim.", SECONDS_BUCKETS
        )
        self._predict_seconds = histogram("predict_seconds", "Time of a batch inside the pipeline.", SECONDS_BUCKETS)
        self._batch_rows = histogram("batch_rows", "Number of rows in a batch.", _ROWS_BUCKETS)
        final = counter("predictions_final_total", "Predictions that this process made final.", "state", "queue")
        states = (State.SUCCEEDED, State.FAILED, State.EXPIRED)
        self._final = {queue: [final.labels(state, queue) for state in states] for queue in Queue}
        slices = counter(
            "slices_total", "Attempts at slices that ended while their worker was running, except lost ones.", "end"
        )
        self._slices = {end: slices.labels(end) for end in SLICE_ENDS}
        self._slice_rows = counter("slice_rows_total", "Rows in slices whose results were committed.")
        self._slice_bad_rows = counter(
            "slice_bad_rows_total", "Rows without a result in slices whose results were committed."
        )
        slice_seconds = Histogram(
            "sepal_slice_seconds",
            "Time that a slice spent in a step.",
            ("step",),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self._slice_seconds = [slice_seconds.labels(step) for step in ("queue", "read", "predict", "write")]
        self._dropped = counter(
            "outcomes_dropped_total",
            "Outcomes whose commit was refused: another attempt has the batch, or it is final.",
        )
        self._alien_messages = counter(
            "alien_messages_total", "Alien messages (not written by Sepal) that were set aside."
        )
        lost = counter("leases_lost_total", "Attempts that ended without an outcome.", "reason")
        self._lost = {
            reason.value: lost.labels(reason)
            for reason in (LostReason.PROCESS, LostReason.TIME_LIMIT, LostReason.ERROR)
        }

    def count_attempt(self, report: AttemptReport) -> None:
        """Count an attempt that has ended."""
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

    def count_slice_attempt(self, report: SliceReport) -> None:
        """Count an attempt at a slice that has ended."""
        self._slices[report.end].inc()
        if report.end in (GIVEN_BACK, HALVED):
            return
        for microseconds, histogram in zip(report[3:], self._slice_seconds, strict=True):
            histogram.observe(microseconds / 1e6)
        if report.end == COMMITTED:
            self._slice_rows.inc(report.n_rows)
            self._slice_bad_rows.inc(report.n_bad)

    def count_attempts(self, reports: Iterable[AttemptReport | SliceReport]) -> None:
        """Count attempts at batches and at slices that have ended."""
        for report in reports:
            if isinstance(report, SliceReport):
                self.count_slice_attempt(report)
            else:
                self.count_attempt(report)

    def count_alien_message(self) -> None:
        """Count a message that was set aside."""
        self._alien_messages.inc()


class WorkerCollector(Collector):
    """Reads the worker's current state at each scrape."""

    def __init__(self, model: ModelRef, count_loaded: Callable[[], int]) -> None:
        self._model = model
        self._count_loaded = count_loaded

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of loaded pool processes and of the model."""
        yield GaugeMetricFamily(
            "sepal_loaded_processes", "Pool processes of this worker that have loaded the model.", self._count_loaded()
        )
        info = GaugeMetricFamily(
            "sepal_model_info", "The model that this worker serves.", labels=("name", "version", "digest")
        )
        info.add_metric([self._model.name, self._model.version, self._model.digest], 1)
        yield info
