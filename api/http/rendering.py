"""Renders predictions as HTTP responses; the worker has already encoded the results as JSON."""

import json
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.responses import Response

from api.http.meta import encode_meta
from api.http.security import NO_STORE, NOSNIFF
from shared.errors import PredictionCanceled, PredictionExpired, PredictionFailed
from shared.ids import PredictionId
from shared.names import FINAL_STATES, Output, Queue, State
from shared.store.lookups import Prediction

_JSON: Final = (b"content-type", b"application/json")
_OUTPUT_PREFIXES: Final = {output.value: f'"{output}":['.encode() for output in Output}


class HttpResponse(msgspec.Struct, frozen=True):
    """An HTTP response, with its headers in the form of ASGI."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def render(
    prediction_id: PredictionId,
    prediction: Prediction,
    retry_after: Callable[[Queue], int],
    *,
    has_meta: bool = False,
) -> HttpResponse:
    """Render a prediction: 200 if it is final; otherwise 202 with its progress, `Location` and `Retry-After`."""
    body = _response_body(prediction_id, prediction, has_meta=has_meta)
    headers = [_JSON, NO_STORE, NOSNIFF, (b"content-length", b"%d" % len(body))]
    if prediction.queue_us is not None and prediction.predict_us is not None:
        times = prediction.queue_us / 1000, prediction.predict_us / 1000
        headers.append((b"server-timing", b"queue;dur=%.3f, predict;dur=%.3f" % times))
    if prediction.state in FINAL_STATES:
        return HttpResponse(200, headers, body)
    seconds = retry_after(prediction_id.queue)
    headers += [(b"location", f"/results/{prediction_id}".encode()), (b"retry-after", b"%d" % seconds)]
    return HttpResponse(202, headers, body)


def to_starlette(response: HttpResponse) -> Response:
    """Convert a response to Starlette's type."""
    converted = Response(response.body, response.status)
    converted.raw_headers = response.headers
    return converted


def raise_failure(prediction_id: PredictionId, prediction: Prediction) -> None:
    """Raise the error of a prediction that is final without a result.

    Raises:
        PredictionFailed, PredictionCanceled, PredictionExpired: the prediction has no result.
    """
    if prediction.failure is not None:
        raise PredictionFailed(str(prediction_id), prediction.failure.code, prediction.failure.detail)
    if prediction.state is State.CANCELED:
        raise PredictionCanceled(str(prediction_id))
    if prediction.state is State.EXPIRED:
        raise PredictionExpired(str(prediction_id))


def _response_body(prediction_id: PredictionId, prediction: Prediction, *, has_meta: bool) -> bytes:
    identity = f'"id":"{prediction_id}","status":"{prediction.state}","model":'.encode() + prediction.model
    meta = [b'"meta":' + encode_meta(prediction)] if has_meta and prediction.provenance else []
    return b"{" + b",".join([*_state_members(prediction), identity, *meta]) + b"}"


def _state_members(prediction: Prediction) -> list[bytes]:
    if prediction.state is State.SUCCEEDED:
        return _output_members(prediction)
    if prediction.failure is not None:
        return [
            b'"error":' + json.dumps({"code": prediction.failure.code, "detail": prediction.failure.detail}).encode()
        ]
    if prediction.state in FINAL_STATES:
        return []
    return [b'"rows":{"done":%d,"total":%d}' % (prediction.rows_done, prediction.rows_total)]


def _output_members(prediction: Prediction) -> list[bytes]:
    answers = prediction.answers
    return [
        _OUTPUT_PREFIXES[name] + b",".join([answer.outputs[name] for answer in answers]) + b"]"
        for name in answers[0].outputs
    ]
