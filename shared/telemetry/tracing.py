"""Traces for those who want them: spans go to an OTLP endpoint, off the path of what they measure.

Without an endpoint nothing of OpenTelemetry's SDK is even imported. With one, its own variables say how many requests
are traced (`OTEL_TRACES_SAMPLER`), how often spans are sent (`OTEL_BSP_SCHEDULE_DELAY`), with which headers, and so on.
"""

from opentelemetry.trace import Tracer


def make_tracer(endpoint: str, service: str) -> Tracer:
    """Make a tracer that sends what it is given to `endpoint`/v1/traces; a full or absent receiver costs spans only.

    Args:
        endpoint: of an OTLP receiver over HTTP.
        service: the name that spans are shown under.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # slow to import
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return provider.get_tracer("sepal")
