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
from api.dead_letters import DeadLetters
from api.drain import drain_when_told
from api.front import Front
from api.idempotency import IdempotencyKeys
from api.link import Link
from api.metrics import GatewayMetrics, WholeCollector
from api.operators import operator_routes
from api.predict import Predict
from api.predictions import Predictions
from api.publisher import Publisher
from api.pulse import Pulse
from api.reconciler import Reconciler
from api.routes import prediction_routes, status_routes
from api.settings import GatewaySettings
from api.store import Store
from api.tracing import RequestTracer
from shared.exposition import Exposition
from shared.log import configure_logging
from shared.record import REPLY_CHANNEL_PREFIX

VERSION: Final = "0.1.0"
DESCRIPTION: Final = "Serves a scikit-learn pipeline through a message queue."


def create_app(settings: GatewaySettings | None = None) -> Front:
    """Build the gateway; without settings they are read from the environment, once."""
    settings = settings or GatewaySettings()
    configure_logging(settings.log_json, settings.log_level)
    url = settings.redis_url.get_secret_value()
    channel = f"{REPLY_CHANNEL_PREFIX}{secrets.token_urlsafe(12)}"
    link = Link(url, channel)
    store = Store.connect(
        url,
        link,
        max_backlog_rows=settings.max_backlog_rows,
        result_ttl_seconds=settings.result_ttl_seconds,
        answered_ttl_seconds=settings.answered_ttl_seconds,
    )
    pulse = Pulse(store.overview, lambda: link.is_up, settings.stalled_after_seconds)
    publisher = Publisher()
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    exposition = Exposition(registry, WholeCollector(pulse, settings.max_backlog_rows))
    tracer = RequestTracer.make(settings.otlp_endpoint)
    predictions = Predictions(store, publisher, pulse, IdempotencyKeys(store.client), metrics, channel)
    predict = Predict(predictions, pulse, settings, metrics, tracer)
    reconciler = Reconciler(
        store.client,
        publisher,
        metrics,
        max_attempts=settings.max_attempts,
        result_ttl_seconds=settings.result_ttl_seconds,
        dead_letter_ttl_seconds=settings.dead_letter_ttl_seconds,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        drain_when_told(predictions.drain, settings.drain_seconds)
        keeping = link.keep(predictions.replies), pulse.beat([reconciler.tick, predictions.tick])
        async with _running(*keeping):
            yield
        await store.client.aclose()

    # FastAPI's own class loads the documentation pages' scripts from a public host; this one carries them.
    app: FastAPI = FastAPIOffline(title="Sepal", description=DESCRIPTION, version=VERSION, lifespan=lifespan)
    app.include_router(prediction_routes(predictions, predict, pulse))
    app.include_router(status_routes(pulse, exposition))
    letters = DeadLetters(store.client)
    app.include_router(operator_routes(letters, predictions, pulse, settings))
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
