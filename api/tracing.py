"""Spans of a request: the whole of it, and its wait; the wait's context goes with the rows through the queue."""

from collections.abc import Awaitable, Callable
from typing import Self

import msgspec
from opentelemetry.trace import SpanKind, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.body import Declared
from api.predictions import Order, Submitted
from api.rendering import Reply
from shared.store.records import Origin
from shared.tracing import make_tracer

_PROPAGATOR = TraceContextTextMapPropagator()

Submit = Callable[[Order], Awaitable[Submitted]]


class RequestTracer:
    """Only there where there is somebody to send traces to."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @classmethod
    def make(cls, endpoint: str | None) -> Self | None:
        """Trace to an OTLP endpoint, or not at all."""
        return None if endpoint is None else cls(make_tracer(endpoint, "sepal-gateway"))

    async def inside(self, declared: Declared, answer: Awaitable[Reply]) -> Reply:
        """Await the answer to `POST /predict` in a span, which belongs to the client's trace if it has one."""
        parent = _PROPAGATOR.extract({"traceparent": declared.traceparent})
        with self._tracer.start_as_current_span("POST /predict", parent, SpanKind.SERVER) as span:
            reply = await answer
            span.set_attribute("http.response.status_code", reply.status)
            if reply.status >= 500:
                span.set_status(StatusCode.ERROR)
        return reply

    def waiting(self, submit: Submit) -> Submit:
        """Submit inside a span of its own, whose context the order carries where it is sampled."""

        async def submit_traced(order: Order) -> Submitted:
            with self._tracer.start_as_current_span("wait") as span:
                if get_current_span().get_span_context().trace_flags.sampled:
                    carrier: dict[str, str] = {}
                    _PROPAGATOR.inject(carrier)
                    request_id = order.origin.request_id if order.origin else ""
                    order = msgspec.structs.replace(order, origin=Origin(request_id, carrier["traceparent"]))
                submitted = await submit(order)
                span.set_attribute("sepal.prediction", str(submitted.id))
                span.set_attribute("sepal.state", submitted.prediction.state.value)
            return submitted

        return submit_traced
