"""The gateway's outermost ASGI application: handles `POST /predict` and forwards every other request to FastAPI.

For a single row, the middleware of FastAPI and Starlette costs more than the rest of the gateway's work
(docs/decisions/0011-a-hot-path-in-front-of-fastapi.md). FastAPI's own `/predict` route calls the same
`PredictOperation`: it documents the operation, and is used if the gateway is mounted below another path. The hot path
also counts every request, and adds the correlation id to its log lines.
"""

import time
from typing import Any, Final

import msgspec
import structlog
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from api.cluster.status import ClusterStatus
from api.http import problems
from api.http.body import read_json_body
from api.http.events import EVENTS_PATH
from api.http.forwarded_headers import TrustedProxies
from api.http.headers import Preferences, RequestHeaders
from api.http.large_bodies import LargeBodies
from api.http.meta import is_meta_requested
from api.http.rendering import HttpResponse, raise_failure, render
from api.http.rows import BodyReader, ReadBody
from api.predictions.service import PredictionRequest, PredictionResponse, PredictionService
from api.settings import GatewaySettings
from api.telemetry.metrics import GatewayMetrics
from api.telemetry.tracing import RequestTracer, format_traceparent, set_status
from shared.card import ModelCard
from shared.errors import RequestRefused
from shared.names import FINAL_STATES
from shared.store.idempotency import IdempotencyKey
from shared.store.records import Origin

REQUEST_ID_HEADER: Final = b"x-request-id"
_PREDICT_PATH: Final = "/predict"
_MAX_HASHED_IN_LOOP_BYTES: Final = 2**20  # SHA-256 takes 2 ms for it

log = structlog.get_logger(__name__)


class PredictOperation:
    """Handles `POST /predict`."""

    def __init__(
        self,
        service: PredictionService,
        cluster: ClusterStatus,
        settings: GatewaySettings,
        large_bodies: LargeBodies,
        metrics: GatewayMetrics,
        tracer: RequestTracer | None,
    ) -> None:
        self._service = service
        self._cluster = cluster
        self._settings = settings
        self._metrics = metrics
        self._tracer = tracer
        self._reader = BodyReader(settings.max_rows, settings.max_text_bytes)
        self._large_bodies = large_bodies

    async def __call__(self, headers: RequestHeaders, scope: Scope, receive: Receive) -> HttpResponse:
        """Validate the rows, submit them and wait for the result.

        Returns:
            200 with the result, or 202 with the path to poll.

        Raises:
            SepalError: the request was refused, or its prediction is final without a result.
        """
        preferences = Preferences.parse(headers.prefer)
        try:
            has_meta = is_meta_requested(scope["query_string"]) if scope["query_string"] else False
            body = await read_json_body(headers, receive, self._settings.max_body_bytes)
            card = await self._cluster.current_card()
            start_time = time.monotonic()
            read = self._reader.read_if_small(body, card) or await self._read_large_body(body, card)
            request = PredictionRequest(
                read.rows,
                preferences.wait_seconds(self._settings.wait_seconds, self._settings.max_wait_seconds),
                headers.deadline_seconds(start_time),
                None if headers.idempotency_key is None else await _parse_idempotency_key(headers, scope, body),
                _make_origin(headers, read),
            )
            submit = self._service.submit if self._tracer is None else self._submit_traced
            response = await submit(request)
        except RequestRefused as error:
            self._metrics.count_refused(error.code)
            raise
        if headers.request_id:
            bind_contextvars(batch=response.id.batch_id)  # the whole id would give access to the result
        return self._render(response, preferences, has_meta=has_meta)

    async def _read_large_body(self, body: bytes, card: ModelCard) -> ReadBody:
        while True:
            read = await self._large_bodies.read(body, card)
            current = await self._cluster.current_card()
            if current is card:
                return read
            card = current  # the model card was replaced in the meantime

    async def _submit_traced(self, request: PredictionRequest) -> PredictionResponse:
        assert self._tracer is not None, "called only with a tracer"
        with self._tracer.wait_span() as span:
            if traceparent := format_traceparent(span):
                origin = msgspec.structs.replace(request.origin or Origin(), traceparent=traceparent)
                request = msgspec.structs.replace(request, origin=origin)
            response = await self._service.submit(request)
            span.set_attribute("sepal.prediction", str(response.id))
            span.set_attribute("sepal.state", response.prediction.state.value)
        return response

    def _render(self, response: PredictionResponse, preferences: Preferences, *, has_meta: bool) -> HttpResponse:
        raise_failure(response.id, response.prediction)
        retry_after = self._cluster.backlog.retry_after
        rendered = render(response.id, response.prediction, retry_after, has_meta=has_meta)
        rendered.headers.append((b"vary", b"Prefer"))
        is_final = response.prediction.state in FINAL_STATES
        if applied := preferences.preference_applied(is_final, self._settings.max_wait_seconds):
            rendered.headers.append((b"preference-applied", applied.encode()))
        return rendered


class HotPath:
    """The ASGI application that uvicorn calls."""

    def __init__(
        self,
        framework: ASGIApp,
        predict: PredictOperation,
        retry_after: problems.RetryAfter,
        metrics: GatewayMetrics,
        tracer: RequestTracer | None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.framework = framework
        self._proxies = proxies
        self._predict = predict
        self._retry_after = retry_after
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self.framework(scope, receive, send)
            return
        start_time = time.perf_counter()
        if self._proxies is not None:
            self._proxies.apply_forwarded_headers(scope)
        headers = RequestHeaders.read(scope["headers"])
        if headers.request_id:
            bind_contextvars(request=headers.request_id)
            send = _with_request_id(send, headers.request_id)
        if scope["path"] != _PREDICT_PATH or scope["method"] != "POST":
            await self._forward(headers, scope, receive, send, start_time)
            return
        if self._tracer is None:
            response = await self._respond(headers, scope, receive)
        else:
            with self._tracer.request_span(headers.traceparent) as span:
                response = await self._respond(headers, scope, receive)
                set_status(span, response.status)
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        await send({"type": "http.response.body", "body": response.body})
        self._record_request(headers, "POST", _PREDICT_PATH, response.status, start_time)

    async def _respond(self, headers: RequestHeaders, scope: Scope, receive: Receive) -> HttpResponse:
        try:
            return await self._predict(headers, scope, receive)
        except Exception as error:
            problem = problems.to_problem_response(error, self._retry_after)
            return HttpResponse(problem.status_code, problem.raw_headers, bytes(problem.body))

    async def _forward(
        self, headers: RequestHeaders, scope: Scope, receive: Receive, send: Send, start_time: float
    ) -> None:
        status = 0

        async def send_and_record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.framework(scope, receive, send_and_record_status)
        finally:  # the framework responds to an unexpected error with 500 and raises it again
            route: Any = scope.get("route")  # its path has parameter names instead of values
            path = getattr(route, "path", "")
            if path != EVENTS_PATH:  # not recorded: an event stream lasts as long as its prediction
                self._record_request(headers, scope["method"], path, status, start_time)

    def _record_request(self, headers: RequestHeaders, method: str, route: str, status: int, start_time: float) -> None:
        seconds = time.perf_counter() - start_time
        self._metrics.record_request(method, route, status, seconds)
        if headers.request_id:
            milliseconds = round(seconds * 1000, 3)
            log.info("handled a request", method=method, route=route, status=status, milliseconds=milliseconds)


async def _parse_idempotency_key(headers: RequestHeaders, scope: Scope, body: bytes) -> IdempotencyKey | None:
    client = (scope.get("client") or ("",))[0]
    if len(body) <= _MAX_HASHED_IN_LOOP_BYTES:
        return headers.parse_idempotency_key(client, body)
    # In a thread: hashing does not hold the interpreter's lock.
    return await run_in_threadpool(headers.parse_idempotency_key, client, body)


def _make_origin(headers: RequestHeaders, read_body: ReadBody) -> Origin | None:
    """Return the correlation id and the requested outputs; None if the request has neither."""
    if not headers.request_id and not read_body.outputs:
        return None
    return Origin(headers.request_id, outputs=read_body.outputs)


def _with_request_id(send: Send, request_id: str) -> Send:
    """Add the correlation id to the headers of the response."""

    async def send_with_request_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, request_id.encode())]
        await send(message)

    return send_with_request_id
