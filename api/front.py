"""The gateway's outermost application: it counts and correlates every request, and takes `POST /predict` itself.

FastAPI's and Starlette's middleware cost more than everything else that the gateway does for a row
(docs/decisions/0011-a-hot-path-in-front-of-fastapi.md). Any other request goes on to FastAPI, whose own `/predict`
calls the same `Predict`: it describes the operation in the documentation, and serves those who mount the application
below another path.
"""

import time
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from api import problems
from api.body import Declared
from api.metrics import GatewayMetrics
from api.predict import Predict
from api.rendering import Reply
from api.tracing import RequestTracer

REQUEST_ID: Final = b"x-request-id"
_PREDICT: Final = "/predict"

log = structlog.get_logger(__name__)


class Front:
    """What uvicorn calls."""

    def __init__(
        self,
        framework: ASGIApp,
        predict: Predict,
        retry_after: problems.RetryAfter,
        metrics: GatewayMetrics,
        tracer: RequestTracer | None,
    ) -> None:
        self.framework = framework
        self._predict = predict
        self._retry_after = retry_after
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self.framework(scope, receive, send)
            return
        began = time.perf_counter()
        declared = Declared.read(scope["headers"])
        if declared.request_id:
            bind_contextvars(request=declared.request_id)
            send = _identified(send, declared.request_id)
        if scope["path"] != _PREDICT or scope["method"] != "POST":
            await self._pass_on(declared, scope, receive, send, began)
            return
        answer = self._answer(declared, scope, receive)
        reply = await (answer if self._tracer is None else self._tracer.inside(declared, answer))
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})
        self._note(declared, "POST", _PREDICT, reply.status, began)

    async def _answer(self, declared: Declared, scope: Scope, receive: Receive) -> Reply:
        try:
            return await self._predict(declared, scope, receive)
        except Exception as error:
            problem = problems.problem(error, self._retry_after)
            return Reply(problem.status_code, problem.raw_headers, bytes(problem.body))

    async def _pass_on(self, declared: Declared, scope: Scope, receive: Receive, send: Send, began: float) -> None:
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.framework(scope, receive, watch)
        finally:  # the framework raises what it has answered as an internal error
            route: Any = scope.get("route")  # with its parameters' names for their values
            self._note(declared, scope["method"], getattr(route, "path", ""), status, began)

    def _note(self, declared: Declared, method: str, route: str, status: int, began: float) -> None:
        seconds = time.perf_counter() - began
        self._metrics.answered(method, route, status, seconds)
        if declared.request_id:
            milliseconds = round(seconds * 1000, 3)
            log.info("answered a request", method=method, route=route, status=status, milliseconds=milliseconds)


def _identified(send: Send, request_id: str) -> Send:
    """Give the correlation id back."""

    async def send_identified(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (REQUEST_ID, request_id.encode())]
        await send(message)

    return send_identified
