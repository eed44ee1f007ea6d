"""Exports spans to an OTLP endpoint in the background, so that requests and batches do not wait.

Without an endpoint, OpenTelemetry's SDK is not imported. With an endpoint, its environment variables configure the
sampling (`OTEL_TRACES_SAMPLER`), the interval between exports (`OTEL_BSP_SCHEDULE_DELAY`), the headers, and so on.
"""

from opentelemetry.trace import Tracer


def make_tracer(endpoint: str, service: str) -> Tracer:
    """Create a tracer that sends spans to `endpoint`/v1/traces; spans are dropped if the receiver is unavailable.

    Args:
        endpoint: the URL of an OTLP receiver over HTTP.
        service: the service name of the spans.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # slow to import
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return provider.get_tracer("sepal")
