"""Writes predictions as JSON, from text that the worker has already encoded."""

from api.store import Prediction
from shared.ids import PredictionId
from shared.names import FINAL, State

import json


def body(prediction_id: PredictionId, prediction: Prediction) -> bytes:
    """Write a prediction: its result, its failure, or how far it is."""
    parts = [*_content(prediction), b'"id":"%s"' % str(prediction_id).encode(), b'"status":"%s"' % prediction.state.encode()]
    parts.append(b'"model":' + prediction.model)
    return b"{" + b",".join(parts) + b"}"


def _content(prediction: Prediction) -> list[bytes]:
    if prediction.state is State.SUCCEEDED:
        return _result(prediction)
    if prediction.failure is not None:
        error = {"code": prediction.failure.code, "detail": prediction.failure.detail}
        return [b'"error":' + json.dumps(error).encode()]
    if prediction.state in FINAL:
        return []
    return [b'"rows":{"done":%d,"total":%d}' % (prediction.rows_done, prediction.rows_total)]


def _result(prediction: Prediction) -> list[bytes]:
    result = [b'"prediction":[' + b",".join(answer.prediction for answer in prediction.answers) + b"]"]
    log_proba = [answer.log_proba for answer in prediction.answers if answer.log_proba is not None]
    if log_proba:
        result.append(b'"log_proba":[' + b",".join(log_proba) + b"]")
    return result


def server_timing(prediction: Prediction) -> str | None:
    """The value of `Server-Timing` (W3C), in milliseconds; None while no worker has had the prediction."""
    if prediction.queue_us is None or prediction.predict_us is None:
        return None
    return f"queue;dur={prediction.queue_us / 1000:.3f}, predict;dur={prediction.predict_us / 1000:.3f}"
