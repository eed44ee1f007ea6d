"""`POST /predict`: a request's headers and body in, a reply out, whoever serves it."""

from starlette.types import Receive, Scope
from structlog.contextvars import bind_contextvars

from api.body import Declared, RowsValidator, read_json_body
from api.deadline import read_deadline
from api.idempotency import read_idempotency_key
from api.lanes import MAX_BATCH_ROWS
from api.metrics import GatewayMetrics
from api.predictions import Order, Predictions, Submitted
from api.prefer import Preferences
from api.pulse import Pulse
from api.rendering import Reply, raise_failure, render
from api.settings import GatewaySettings
from api.tracing import RequestTracer
from shared.errors import RequestRefused
from shared.names import FINAL
from shared.rows import encode_matrix
from shared.store.idempotency import IdempotencyKey


class Predict:
    """The operation."""

    def __init__(
        self,
        predictions: Predictions,
        pulse: Pulse,
        settings: GatewaySettings,
        metrics: GatewayMetrics,
        tracer: RequestTracer | None,
    ) -> None:
        self._metrics = metrics
        self._submit = predictions.submit if tracer is None else tracer.waiting(predictions.submit)
        self._pulse = pulse
        self._settings = settings
        self._validate = RowsValidator(settings.max_rows)

    async def __call__(self, declared: Declared, scope: Scope, receive: Receive) -> Reply:
        """Validate, submit, wait.

        Raises:
            SepalError: there is no result, and none to wait for.
        """
        preferences = Preferences.parse(declared.prefer)
        try:
            raw = await read_json_body(declared, receive, self._settings.max_body_bytes)
            rows = self._validate(raw, await self._pulse.current_card())
            order = Order(
                encode_matrix(rows, MAX_BATCH_ROWS),
                preferences.seconds(self._settings.wait_seconds, self._settings.max_wait_seconds),
                read_deadline(declared.deadline),
                _idempotency_key(declared, scope, raw),
                declared.origin,
            )
            submitted = await self._submit(order)
        except RequestRefused as error:
            self._metrics.refused(error.code)
            raise
        if declared.request_id:
            bind_contextvars(batch=submitted.id.batch_id)  # the whole id opens the result
        return self._reply(submitted, preferences)

    def _reply(self, submitted: Submitted, preferences: Preferences) -> Reply:
        raise_failure(submitted.id, submitted.prediction)
        reply = render(submitted.id, submitted.prediction, self._pulse.retry_after)
        reply.headers.append((b"vary", b"Prefer"))
        is_final = submitted.prediction.state in FINAL
        if applied := preferences.applied(is_final, self._settings.max_wait_seconds):
            reply.headers.append((b"preference-applied", applied.encode()))
        return reply


def _idempotency_key(declared: Declared, scope: Scope, raw: bytes) -> IdempotencyKey | None:
    """A client is who its credentials say or, without any, the address that its requests come from."""
    if declared.idempotency_key is None:
        return None
    host, *_ = scope.get("client") or ("",)
    client = b"credentials " + declared.authorization if declared.authorization else f"address {host}".encode()
    return read_idempotency_key(declared.idempotency_key, client, raw)
