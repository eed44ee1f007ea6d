"""The spans of a `POST /predict`: one for the request, and in it one for the wait.

The context of the wait span is stored with the rows, so that the worker's spans belong to the same trace
(docs/decisions/0019-a-request-is-found-by-its-id.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.telemetry.tracing import make_tracer

_PROPAGATOR = TraceContextTextMapPropagator()


class RequestTracer:
    """Starts the spans of a gateway's requests."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @classmethod
    def make(cls, endpoint: str | None) -> Self | None:
        """Make a tracer that exports to an OTLP endpoint; None without an endpoint."""
        return None if endpoint is None else cls(make_tracer(endpoint, "sepal-gateway"))

    @contextmanager
    def request_span(self, traceparent: str) -> Iterator[Span]:
        """Start the span of the whole request; its parent is the client's span, if the request names one."""
        parent = _PROPAGATOR.extract({"traceparent": traceparent})
        with self._tracer.start_as_current_span("POST /predict", parent, SpanKind.SERVER) as span:
            yield span

    @contextmanager
    def wait_span(self) -> Iterator[Span]:
        """Start the span from the validation of the rows to the result."""
        with self._tracer.start_as_current_span("wait") as span:
            yield span


def format_traceparent(span: Span) -> str:
    """Return a span's context as a W3C `traceparent`; empty if the span is not sampled."""
    if not span.get_span_context().trace_flags.sampled:
        return ""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier["traceparent"]


def set_status(span: Span, status: int) -> None:
    """Record the HTTP status of the response; 500 and above are errors."""
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
