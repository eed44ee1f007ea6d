"""The HTTP surface: reads requests, calls `Predictions`, writes responses."""

from fastapi import APIRouter, Request, Response

from api import documents, rendering
from api.body import RowsValidator, read_json_body
from api.predictions import Predictions
from api.prefer import Preferences
from api.problems import not_ready
from api.pulse import Pulse
from api.settings import GatewaySettings
from api.store import Prediction
from shared.card import ModelCard
from shared.errors import PredictionCanceled, PredictionFailed
from shared.ids import PredictionId
from shared.names import FINAL, State


def prediction_routes(predictions: Predictions, pulse: Pulse, settings: GatewaySettings) -> APIRouter:
    """`/predict` and `/results`."""
    router = APIRouter(tags=["predictions"])
    validators: dict[str, RowsValidator] = {}

    def validator() -> RowsValidator:
        card = pulse.card
        if card.digest not in validators:
            validators.clear()
            validators[card.digest] = RowsValidator(card, settings.max_rows)
        return validators[card.digest]

    @router.post("/predict", **documents.PREDICT)
    async def predict(request: Request) -> Response:
        raw = await read_json_body(request, settings.max_body_bytes)
        rows = validator().validate(raw)
        preferences = Preferences.parse(request.headers.getlist("prefer"))
        wait_seconds = preferences.seconds(settings.wait_seconds, settings.max_wait_seconds)
        submitted = await predictions.submit(rows, wait_seconds)
        response = _answer(submitted.id, submitted.prediction)
        response.headers["Vary"] = "Prefer"
        applied = preferences.applied(submitted.prediction.state in FINAL, settings.max_wait_seconds)
        if applied:
            response.headers["Preference-Applied"] = applied
        return response

    @router.get("/results/{id}", **documents.GET_RESULT)
    async def get_result(id: str) -> Response:
        prediction_id = PredictionId.parse(id)
        return _state(prediction_id, await predictions.get(prediction_id))

    @router.delete("/results/{id}", **documents.CANCEL)
    async def cancel(id: str) -> Response:
        prediction_id = PredictionId.parse(id)
        await predictions.cancel(prediction_id)
        return _state(prediction_id, await predictions.get(prediction_id))

    def _answer(prediction_id: PredictionId, prediction: Prediction) -> Response:
        if prediction.state is State.FAILED and prediction.failure is not None:
            raise PredictionFailed(str(prediction_id), prediction.failure.code, prediction.failure.detail)
        if prediction.state is State.CANCELED:
            raise PredictionCanceled(str(prediction_id))
        return _state(prediction_id, prediction)

    def _state(prediction_id: PredictionId, prediction: Prediction) -> Response:
        headers = {"Cache-Control": "no-store"}
        timing = rendering.server_timing(prediction)
        if timing:
            headers["Server-Timing"] = timing
        final = prediction.state in FINAL
        if not final:
            headers |= {"Location": f"/results/{prediction_id}", "Retry-After": str(pulse.retry_after())}
        content = rendering.body(prediction_id, prediction)
        return Response(content, 200 if final else 202, headers, "application/json")

    return router


def status_routes(pulse: Pulse) -> APIRouter:
    """`/model`, `/livez` and `/readyz`."""
    router = APIRouter(tags=["status"])

    @router.get("/model", **documents.MODEL)
    async def model() -> ModelCard:
        return pulse.card

    @router.get("/livez", **documents.LIVEZ)
    async def livez() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/readyz", **documents.READYZ)
    async def readyz() -> Response:
        reasons = pulse.unready_reasons()
        if reasons:
            return not_ready(reasons, pulse.retry_after())
        return Response(b'{"status":"ready"}', media_type="application/json")

    return router
