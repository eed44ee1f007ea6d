"""`POST /predict`, as a plain ASGI application in front of FastAPI.

FastAPI's and Starlette's middleware cost more than everything else that the gateway does for a row
(docs/decisions/0011-a-hot-path-in-front-of-fastapi.md). Any other request goes on to FastAPI, whose own `/predict`
calls the same `Predict`: it describes the operation in the documentation, and serves those who mount the application
below another path.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.body import Declared, RowsValidator, read_json_body
from api.deadline import read_deadline
from api.idempotency import IdempotencyKey
from api.predictions import Order, Predictions
from api.prefer import Preferences
from api.pulse import Pulse
from api.rendering import Reply, raise_failure, render
from api.settings import GatewaySettings
from shared.names import FINAL
from shared.record import pack_rows


class Predict:
    """The operation itself: a request's headers and body in, a reply out."""

    def __init__(self, predictions: Predictions, pulse: Pulse, settings: GatewaySettings) -> None:
        self._predictions = predictions
        self._pulse = pulse
        self._settings = settings
        self._validate = RowsValidator(settings.max_rows)

    async def __call__(self, scope: Scope, receive: Receive) -> Reply:
        """Validate, submit, wait.

        Raises:
            SepalError: there is no result, and none to wait for.
        """
        declared = Declared.read(scope["headers"])
        raw = await read_json_body(declared, receive, self._settings.max_body_bytes)
        rows = self._validate(raw, await self._pulse.current_card())
        preferences = Preferences.parse(declared.prefer)
        longest = self._settings.max_wait_seconds
        order = Order(
            pack_rows(rows),
            len(rows),
            preferences.seconds(self._settings.wait_seconds, longest),
            read_deadline(declared.deadline),
            _idempotency_key(declared, scope, raw),
        )
        submitted = await self._predictions.submit(order)
        raise_failure(submitted.id, submitted.prediction)
        reply = render(submitted.id, submitted.prediction, self._pulse.retry_after())
        reply.headers.append((b"vary", b"Prefer"))
        if applied := preferences.applied(submitted.prediction.state in FINAL, longest):
            reply.headers.append((b"preference-applied", applied.encode()))
        return reply


def _idempotency_key(declared: Declared, scope: Scope, raw: bytes) -> IdempotencyKey | None:
    """A client is who its credentials say or, without any, the address that its requests come from."""
    if declared.idempotency_key is None:
        return None
    host, *_ = scope.get("client") or ("",)
    client = b"credentials " + declared.authorization if declared.authorization else f"address {host}".encode()
    return IdempotencyKey.read(declared.idempotency_key, client, raw)


class HotPath:
    """Sends `POST /predict` past the framework, and everything else to it."""

    def __init__(self, framework: ASGIApp, predict: Predict, retry_after: problems.RetryAfter) -> None:
        self.framework = framework
        self._predict = predict
        self._retry_after = retry_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http" or scope["path"] != "/predict" or scope["method"] != "POST":
            await self.framework(scope, receive, send)
            return
        try:
            reply = await self._predict(scope, receive)
        except Exception as error:
            await problems.problem(error, self._retry_after)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})
