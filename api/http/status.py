"""The status of a prediction in JSON: its state and progress, without its rows."""

import math
from typing import Any, Final

import msgspec

from shared.ids import PredictionId
from shared.names import FINAL_STATES
from shared.store.bulk import BulkPrediction
from shared.store.lookups import Prediction

_LONGEST_RETRY_SECONDS: Final = 60


def prediction_status(prediction_id: PredictionId, prediction: Prediction) -> dict[str, Any]:
    """Return the status of a prediction of `POST /predict`."""
    return {
        "rows": {"done": prediction.rows_done, "total": prediction.rows_total},
        **({} if prediction.failure is None else {"error": _error_members(prediction.failure)}),
        "id": str(prediction_id),
        "status": prediction.state.value,
        "model": msgspec.Raw(prediction.model),
    }


def bulk_prediction_status(prediction: BulkPrediction) -> dict[str, Any]:
    """Return the status of a bulk prediction; while it is open, with its rate and position."""
    rows = {"done": prediction.rows_done, "total": prediction.source.n_rows, "bad": prediction.rows_bad}
    status: dict[str, Any] = {"rows": rows}
    if prediction.state not in FINAL_STATES:
        status["position"] = prediction.position
        if (rate := _rows_per_second(prediction)) is not None:
            status |= {"rows_per_second": round(rate, 1), "seconds_left": math.ceil(_rows_left(prediction) / rate)}
    if prediction.failure is not None:
        faults = [{"pointer": fault.pointer, "detail": fault.detail} for fault in prediction.errors]
        status["error"] = _error_members(prediction.failure) | ({"errors": faults} if faults else {})
    return status | {
        "id": str(prediction.id),
        "status": prediction.state.value,
        "model": msgspec.Raw(prediction.model),
    }


def retry_after_seconds(prediction: BulkPrediction) -> int | None:
    """Return the seconds after which to poll again; None if no row is done."""
    rate = _rows_per_second(prediction)
    return None if rate is None else max(1, min(math.ceil(_rows_left(prediction) / rate), _LONGEST_RETRY_SECONDS))


def _rows_left(prediction: BulkPrediction) -> int:
    return prediction.source.n_rows - prediction.rows_done


def _rows_per_second(prediction: BulkPrediction) -> float | None:
    if prediction.started_us is None or not prediction.rows_done or prediction.now_us <= prediction.started_us:
        return None
    return prediction.rows_done * 1e6 / (prediction.now_us - prediction.started_us)


def _error_members(failure: Any) -> dict[str, Any]:
    return {"code": failure.code, "detail": failure.detail}
