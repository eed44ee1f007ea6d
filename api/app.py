"""Composes a gateway process."""

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry

from api import documents, problems
from api.drain import drain_when_told
from api.front import Front
from api.metrics import GatewayMetrics, WholeCollector
from api.operators import operator_routes
from api.predict import Predict
from api.predictions import Predictions
from api.publisher import Publisher
from api.pulse import Pulse
from api.reconciler import Reconciler
from api.routes import prediction_routes, status_routes
from api.settings import GatewaySettings
from api.tracing import RequestTracer
from shared.exposition import Exposition
from shared.log import configure_logging
from shared.names import Queue
from shared.store.clock import StoreClock
from shared.store.dead_letters import DeadLetters
from shared.store.idempotency import IdempotencyKeys
from shared.store.lookups import Lookups
from shared.store.pipelined import PipelinedTransport
from shared.store.pooled import PooledTransport
from shared.store.recovery import Recovery
from shared.store.schema import Key
from shared.store.status import Status
from shared.store.submissions import Submissions

VERSION: Final = "0.1.0"
DESCRIPTION: Final = "Serves a scikit-learn pipeline through a message queue."


def create_app(settings: GatewaySettings | None = None) -> Front:
    """Build the gateway; without settings they are read from the environment, once."""
    settings = settings or GatewaySettings()
    configure_logging(settings.log_json, settings.log_level)
    url = settings.redis_url.get_secret_value()
    channel = f"{Key.REPLY}{secrets.token_urlsafe(12)}"
    pipelined, pooled, clock = PipelinedTransport(url, channel), PooledTransport(url), StoreClock()
    limits = {Queue.INTERACTIVE: settings.max_backlog_rows, Queue.BULK: settings.max_bulk_backlog_rows}
    publisher = Publisher()
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    pulse = Pulse(Status(pooled, clock).overview, lambda: pipelined.is_up, settings.stalled_after_seconds)
    exposition = Exposition(registry, WholeCollector(pulse, limits))
    tracer = RequestTracer.make(settings.otlp_endpoint)
    predictions = Predictions(
        Submissions(pipelined, clock, publisher, limits),
        Lookups(
            pooled,
            result_ttl_seconds=settings.result_ttl_seconds,
            answered_ttl_seconds=settings.answered_ttl_seconds,
        ),
        IdempotencyKeys(pooled),
        clock,
        pulse,
        metrics,
        channel,
    )
    predict = Predict(predictions, pulse, settings, metrics, tracer)
    recovery = Recovery(
        pooled,
        publisher,
        max_attempts=settings.max_attempts,
        result_ttl_seconds=settings.result_ttl_seconds,
        dead_letter_ttl_seconds=settings.dead_letter_ttl_seconds,
    )
    reconciler = Reconciler(recovery, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        drain_when_told(predictions.drain, settings.drain_seconds)
        keeping = pipelined.keep(predictions.replies), pulse.beat([reconciler.tick, predictions.tick])
        async with _running(*keeping):
            yield
        await pooled.close()

    # FastAPI's own class loads the documentation pages' scripts from a public host; this one carries them.
    app: FastAPI = FastAPIOffline(title="Sepal", description=DESCRIPTION, version=VERSION, lifespan=lifespan)
    app.include_router(prediction_routes(predictions, predict, pulse))
    app.include_router(status_routes(pulse, exposition))
    app.include_router(operator_routes(DeadLetters(pooled), predictions, pulse, settings))
    problems.install(app, pulse.retry_after)
    documents.install(app, pulse, settings.max_rows)
    return Front(app, predict, pulse.retry_after, metrics, tracer)


@asynccontextmanager
async def _running(*endless: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have what never ends run beside the requests."""
    tasks = [asyncio.create_task(each) for each in endless]
    gc.freeze()  # what has been imported stays: a full collection that looks at all of it takes 80 ms
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
