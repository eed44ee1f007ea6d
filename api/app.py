"""Creates and connects the objects of a gateway process."""

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from api.bulk.downloads import Downloads
from api.bulk.events import Events
from api.bulk.marker import Marker
from api.bulk.sweeper import Sweeper
from api.bulk.tables import TableServer
from api.bulk.uploads import Uploads
from api.bulk.wire import TableSettings
from api.cluster.metrics import ClusterCollector
from api.cluster.reconciler import Reconciler
from api.cluster.status import ClusterStatus
from api.cluster.ticker import tick_forever
from api.http import documentation, openapi, problems
from api.http.bulk_routes import bulk_routes
from api.http.cors import with_cors
from api.http.events import EventStreams
from api.http.forwarded_headers import TrustedProxies
from api.http.hot_path import HotPath, PredictOperation
from api.http.large_bodies import LargeBodies
from api.http.methods import HeadAndOptions, allowed_methods
from api.http.model_page import ModelPage
from api.http.operators import operator_routes
from api.http.routes import prediction_routes, probe_routes, service_routes
from api.http.server.connections import Connections
from api.http.stored_results import StoredResults
from api.http.uploads import UploadOperation
from api.messages import CeleryMessages
from api.predictions.admission import Admission
from api.predictions.coordinator import Coordinator
from api.predictions.service import PredictionService
from api.settings import GatewaySettings
from api.shutdown import drain_on_signal
from api.telemetry.metrics import GatewayMetrics
from api.telemetry.tracing import RequestTracer
from shared.log import configure_logging
from shared.names import Queue
from shared.objects import ObjectStore
from shared.store.bulk import BulkStore
from shared.store.clock import StoreClock
from shared.store.dead_letters import DeadLetters
from shared.store.idempotency import IdempotencyKeys
from shared.store.lookups import Lookups
from shared.store.pipelined import PipelinedTransport
from shared.store.pooled import PooledTransport
from shared.store.recovery import Recovery
from shared.store.schema import Key
from shared.store.status import StatusReader
from shared.store.submissions import Submissions
from shared.telemetry.exposition import Exposition

VERSION: Final = "0.1.0"
DESCRIPTION: Final = "Serves a scikit-learn pipeline through a message queue."
_CANCEL_RETRY_SECONDS: Final = 0.1
_MAX_JSON_ROWS_FACTOR: Final = 10
"""The result of a bulk prediction is returned as JSON if it has at most this many times `SEPAL_MAX_ROWS` rows."""


def create_app(settings: GatewaySettings | None = None) -> ASGIApp:
    """Build the gateway; by default, its settings are read from the environment."""
    settings = settings or GatewaySettings()
    return with_cors(create_hot_path(settings), settings.cors_origins)


def create_hot_path(settings: GatewaySettings) -> HotPath:
    """Build the gateway without CORS."""
    configure_logging(settings.log_json, settings.log_level)
    url = settings.redis_url.get_secret_value()
    channel = f"{Key.REPLY}{secrets.token_urlsafe(12)}"
    pipelined, pooled, clock = PipelinedTransport(url, channel), PooledTransport(url), StoreClock()
    limits = {Queue.INTERACTIVE: settings.max_backlog_rows, Queue.BULK: settings.max_bulk_backlog_rows}
    messages = CeleryMessages()
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    connections = Connections(settings, metrics)
    cluster = ClusterStatus(
        StatusReader(pooled, clock).read_overview, lambda: pipelined.is_connected, settings.stalled_after_seconds
    )
    tracer = RequestTracer.make(settings.otlp_endpoint)
    lookups = Lookups(
        pooled, result_ttl_seconds=settings.result_ttl_seconds, answered_ttl_seconds=settings.answered_ttl_seconds
    )
    submissions = Submissions(pipelined, clock, messages, limits)
    coordinator = Coordinator(submissions.submit, lookups.read_all, cluster.allowance, metrics, channel)
    keys = IdempotencyKeys(pooled)
    admission = Admission(clock, cluster.backlog, keys)
    service = PredictionService(coordinator, admission, lookups, cluster, metrics, channel, settings.max_waiters)
    large_bodies = LargeBodies(settings.max_rows, settings.max_text_bytes, settings.max_bodies_bytes)
    predict = PredictOperation(service, cluster, settings, large_bodies, metrics, tracer)
    recovery = Recovery(
        pooled,
        messages,
        max_attempts=settings.max_attempts,
        result_ttl_seconds=settings.result_ttl_seconds,
        dead_letter_ttl_seconds=settings.dead_letter_ttl_seconds,
    )
    reconciler = Reconciler(recovery, metrics)
    objects, tables = ObjectStore.open(settings.object_store_url), TableServer(_table_settings(settings))
    stored = BulkStore(
        pooled,
        clock,
        max_bytes=settings.max_bulk_bytes,
        result_ttl_seconds=settings.bulk_result_ttl_seconds,
        message_template=messages.template(Queue.BULK),
    )
    marker = Marker(stored, objects)
    uploads = Uploads(
        tables,
        objects,
        stored,
        marker,
        keys,
        admission,
        clock,
        cluster,
        metrics,
        channel,
        max_uploads=settings.max_uploads,
        max_bytes=settings.max_upload_bytes,
    )
    downloads = Downloads(tables, objects, stored, metrics, settings.max_downloads)
    max_json_rows = settings.max_rows * _MAX_JSON_ROWS_FACTOR
    results = StoredResults(stored, downloads, metrics, cluster.backlog.retry_after, max_json_rows)
    streams = EventStreams(Events(stored, lookups, settings.max_waiters))
    sweeper = Sweeper(stored, objects, marker, metrics)

    def drain() -> None:
        service.drain()
        uploads.drain()
        streams.drain()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        drain_on_signal(drain, settings.drain_seconds)
        ticks = tick_forever(cluster, [reconciler.tick, service.tick, sweeper.tick])
        async with _run_in_background(pipelined.keep_connected(coordinator), ticks, connections.sweep_forever()):
            yield {"connections": connections}  # uvicorn passes it to the protocol of each connection
        await sweeper.close()
        await large_bodies.close()
        await tables.close()
        await pooled.close()

    app = FastAPI(
        title="Sepal",
        description=DESCRIPTION,
        version=VERSION,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,  # operation ids: method names in generated clients
        openapi_url=None,  # `documentation` renders it once
        redirect_slashes=False,  # a redirect would use the `Host` of the request
    )
    app.include_router(prediction_routes(service, lookups, predict, cluster, results))
    app.include_router(bulk_routes(UploadOperation(uploads, cluster, metrics), stored, results, streams))
    app.include_router(service_routes(cluster, ModelPage()))
    exposition = Exposition(registry, ClusterCollector(cluster, limits, settings.max_bulk_bytes))
    app.include_router(probe_routes(cluster, exposition))
    app.include_router(operator_routes(DeadLetters(pooled), service, cluster, settings))
    problems.add_exception_handlers(app, cluster.backlog.retry_after, partial(allowed_methods, app))
    documentation.add_pages(app, cluster, lambda card: openapi.make_schema(app, card, settings.max_rows))
    proxies = TrustedProxies(settings.proxy_networks) if settings.trusted_proxies else None
    return HotPath(HeadAndOptions(app), predict, cluster.backlog.retry_after, metrics, tracer, proxies)


def _table_settings(settings: GatewaySettings) -> TableSettings:
    return TableSettings(
        settings.object_store_url,
        settings.table_process_bytes,
        max_inflated_bytes=settings.max_inflated_bytes,
        max_inflate_ratio=settings.max_inflate_ratio,
        max_json_bytes=settings.max_json_upload_bytes,
        max_text_bytes=settings.max_text_bytes,
    )


@asynccontextmanager
async def _run_in_background(*coroutines: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run endless coroutines in the background."""
    tasks = {asyncio.create_task(each) for each in coroutines}
    gc.freeze()  # imported objects are never freed, and a full collection over all of them takes 80 ms
    yield
    # Repeat until all have ended: a cancellation can be lost while a task connects to Redis.
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_RETRY_SECONDS)
