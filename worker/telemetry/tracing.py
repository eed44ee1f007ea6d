"""Writes the spans of a batch after its commit, from the times that were measured.

A batch serves many requests. Each request's trace has a span `queue` for its time in the queue. The spans `batch` and
`predict` belong to the first request's trace. The span `batch` links to every request of the batch, and each span
`queue` links to the span `batch`.
"""

from typing import Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.store.attempts import Claim
from shared.telemetry.tracing import make_tracer

_PROPAGATOR = TraceContextTextMapPropagator()


class BatchTracer:
    """Writes the spans of one pool process; created after the fork, which the exporter of spans does not survive."""

    def __init__(self, tracer: Tracer, worker: str) -> None:
        self._tracer = tracer
        self._worker = worker

    @classmethod
    def make(cls, endpoint: str | None, worker: str) -> Self | None:
        """Make a tracer; return None without an endpoint."""
        return None if endpoint is None else cls(make_tracer(endpoint, "sepal-worker"), worker)

    def record(self, claim: Claim, predict_us: int) -> None:
        """Write the spans of a committed batch if any of its requests is traced."""
        requests = [
            _PROPAGATOR.extract({"traceparent": origin.traceparent})
            for origin in claim.origins.values()
            if origin.traceparent  # set by the gateway if the request is sampled
        ]
        if not requests:
            return
        claimed_ns = claim.claimed_us * 1000
        batch = self._start_batch(claim, requests, claimed_ns)
        predict = self._tracer.start_span("predict", trace.set_span_in_context(batch), start_time=claimed_ns)
        predict.end(claimed_ns + predict_us * 1000)
        link = Link(batch.get_span_context())
        for request in requests:
            submitted_ns = claimed_ns - claim.queue_us * 1000
            self._tracer.start_span("queue", request, links=[link], start_time=submitted_ns).end(claimed_ns)
        batch.end()

    def _start_batch(self, claim: Claim, requests: list[Context], claimed_ns: int) -> Span:
        return self._tracer.start_span(
            "batch",
            requests[0],
            SpanKind.CONSUMER,
            {
                "sepal.batch": claim.batch_id,
                "sepal.queue": claim.queue.value,
                "sepal.attempt": claim.token,
                "sepal.predictions": len(claim.members),
                "sepal.rows": claim.rows.n_rows,
                "sepal.worker": self._worker,
            },
            links=[Link(trace.get_current_span(request).get_span_context()) for request in requests],
            start_time=claimed_ns,
        )
