"""Counters, histograms and gauges of one gateway process, for Prometheus.

Sum them over all gateways. `api/cluster/metrics.py` has the metrics that are the same at every gateway;
`docs/operations.md` lists every metric.
"""

from collections import defaultdict
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.errors import OperatorsOnly, RequestRefused
from shared.names import LostReason, Queue, State
from shared.telemetry.exposition import SECONDS_BUCKETS

_MAX_UNOBSERVED_DURATIONS: Final = 128
HTTP_REFUSALS: Final = (
    "malformed-request",
    "request-timeout",
    "body-too-large",
    "request-line-too-long",
    "expectation-failed",
    "headers-too-large",
    "not-implemented",
    "too-many-connections",
    "too-many-bodies",
    "http-version-not-supported",
    "silent",
    "idle",
    "unread",
)
"""The reasons for which the protocol refuses a request, or ends a connection without a response."""
ACCEPTED_OUTCOME: Final = "accepted"
_UPLOAD_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class GatewayMetrics:
    """Counts events when they happen, and observes request durations in groups."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"sepal_{name}", help_text, labels, registry=registry)

        def gauge(name: str, help_text: str) -> Gauge:
            return Gauge(f"sepal_{name}", help_text, registry=registry, multiprocess_mode="livesum")

        self._requests = Histogram(
            "sepal_http_request_seconds",
            "Time from a request's arrival to its response.",
            ("method", "route", "status"),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self._unobserved: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        accepted = counter("predictions_accepted_total", "Predictions that were accepted and have an id.", "queue")
        rows = counter("rows_accepted_total", "Rows of accepted predictions.", "queue")
        self._accepted = {queue: (accepted.labels(queue), rows.labels(queue)) for queue in Queue}
        refused = counter("predictions_refused_total", "Predictions that were refused and have no id.", "code")
        codes = {error.code for error in RequestRefused.__subclasses__()} - {OperatorsOnly.code}
        self._refused = {code: refused.labels(code) for code in sorted(codes)}
        final = counter("predictions_final_total", "Predictions that this process made final.", "state", "queue")
        self._final = {
            (state, queue): final.labels(state, queue) for state in (State.CANCELED, State.FAILED) for queue in Queue
        }
        lost = counter("leases_lost_total", "Attempts that ended without an outcome.", "reason")
        self._lost = lost.labels(LostReason.WORKER)
        self._reconciled = counter(
            "batches_reconciled_total", "Batches published again because their messages were lost."
        )
        self._split = counter("batches_split_total", "Exhausted batches that were split to isolate the poison.")
        self._dead_lettered = counter("batches_buried_total", "Batches that became dead letters.")
        self._alien_messages = counter(
            "alien_messages_total", "Alien messages (not written by Sepal) that were set aside."
        )
        http_refusals = counter(
            "http_refusals_total",
            "Requests and connections that were refused or ended before they reached the application.",
            "reason",
        )
        self._http_refusals = {reason: http_refusals.labels(reason) for reason in HTTP_REFUSALS}
        self._uploads = counter("bulk_uploads_total", "Uploads that have ended.", "format", "outcome")
        self._upload_bytes = counter("bulk_upload_bytes_total", "Bytes of upload bodies, as they were received.")
        self._upload_seconds = Histogram(
            "sepal_bulk_upload_seconds",
            "Time from the start of an accepted upload to its response.",
            buckets=_UPLOAD_BUCKETS,
            registry=registry,
        )
        self._downloads = counter("bulk_downloads_total", "Downloads of results that have ended.", "format", "outcome")
        self._download_bytes = counter("bulk_download_bytes_total", "Bytes of results sent to clients.")
        self._sweeper_paused = gauge(
            "bulk_sweeper_paused",
            "1 if the sweeper deletes nothing because the object store has another marker than Redis, else 0.",
        )
        self._swept = counter("bulk_swept_total", "Predictions and uploads whose objects the sweeper deleted.")
        self._connections = gauge("http_connections", "Open connections of clients.")
        self._waiters = gauge("waiters", "Requests waiting for a result.")
        self._gathering = gauge("gathering_rows", "Rows in open batches, which the gateway has not submitted yet.")

    def record_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and collect its duration."""
        unobserved = self._unobserved[method, route, status]
        unobserved.append(seconds)
        if len(unobserved) >= _MAX_UNOBSERVED_DURATIONS:
            self._observe_durations()

    def count_accepted(self, queue: Queue, n_predictions: int, n_rows: int) -> None:
        """Count accepted predictions."""
        predictions, rows = self._accepted[queue]
        predictions.inc(n_predictions)
        rows.inc(n_rows)

    def count_refused(self, code: str) -> None:
        """Count a refused prediction."""
        self._refused[code].inc()

    def count_upload(self, format_name: str, outcome: str, seconds: float) -> None:
        """Count an ended upload by outcome: accepted, the code of a refusal, broken off by the client, or an error."""
        self._uploads.labels(format_name, outcome).inc()
        if outcome == ACCEPTED_OUTCOME:
            self._upload_seconds.observe(seconds)

    def count_upload_bytes(self, n_bytes: int) -> None:
        """Count received bytes of an upload's body."""
        self._upload_bytes.inc(n_bytes)

    def count_download(self, format_name: str, outcome: str) -> None:
        """Count an ended download by outcome: complete, left by the client, or broken by an error."""
        self._downloads.labels(format_name, outcome).inc()

    def count_download_bytes(self, n_bytes: int) -> None:
        """Count sent bytes of a result."""
        self._download_bytes.inc(n_bytes)

    def count_swept(self, n_predictions: int) -> None:
        """Count predictions and uploads whose objects were deleted."""
        self._swept.inc(n_predictions)

    def set_sweeper_paused(self, is_paused: bool) -> None:
        """Record whether the sweeper is paused, because the object store belongs to another store."""
        self._sweeper_paused.set(is_paused)

    def count_http_refusal(self, reason: str) -> None:
        """Count a request or connection that was refused or ended before it reached the application."""
        self._http_refusals[reason].inc()

    def count_canceled(self, queue: Queue) -> None:
        """Count a canceled prediction."""
        self._final[State.CANCELED, queue].inc()

    def count_reconciled(self, n_published_batches: int, n_lost_attempts: int) -> None:
        """Count batches that the reconciler published again, and attempts of lost workers."""
        self._reconciled.inc(n_published_batches)
        self._lost.inc(n_lost_attempts)

    def set_connections(self, n_connections: int) -> None:
        """Set the number of open connections."""
        self._connections.set(n_connections)

    def count_split(self) -> None:
        """Count a batch that was split into one child for each of its predictions."""
        self._split.inc()

    def count_dead_letter(self, queue: Queue) -> None:
        """Count a batch that became a dead letter, and its failed prediction."""
        self._dead_lettered.inc()
        self._final[State.FAILED, queue].inc()

    def count_alien_message(self) -> None:
        """Count an alien message on the reply channel."""
        self._alien_messages.inc()

    def observe_and_set_gauges(self, *, n_waiters: int, n_gathering_rows: int) -> None:
        """Observe the collected durations and set the gauges; called once a second."""
        self._observe_durations()
        self._waiters.set(n_waiters)
        self._gathering.set(n_gathering_rows)

    def _observe_durations(self) -> None:
        """Observe the collected durations; each costs a third of what a separate observation costs."""
        for (method, route, status), durations in self._unobserved.items():
            known = method if method in _METHODS else "other"
            child = self._requests.labels(known, route, status)
            for seconds in durations:
                child.observe(seconds)
        self._unobserved.clear()
