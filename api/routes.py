"""The HTTP surface: reads requests, calls `Predictions`, writes responses."""

from fastapi import APIRouter, Request, Response

from api import documents
from api.body import RowsValidator, read_json_body
from api.predictions import Predictions
from api.prefer import Preferences
from api.problems import not_ready
from api.pulse import Pulse
from api.rendering import raise_failure, respond
from api.settings import GatewaySettings
from shared.card import ModelCard
from shared.ids import PredictionId
from shared.names import FINAL


def prediction_routes(predictions: Predictions, pulse: Pulse, settings: GatewaySettings) -> APIRouter:
    """`/predict` and `/results`."""
    router = APIRouter(tags=["predictions"])
    validate = RowsValidator(settings.max_rows)

    @router.post("/predict", **documents.PREDICT)
    async def predict(request: Request) -> Response:
        raw = await read_json_body(request, settings.max_body_bytes)
        rows = validate(raw, await pulse.current_card())
        preferences = Preferences.parse(request.headers.getlist("prefer"))
        wait_seconds = preferences.seconds(settings.wait_seconds, settings.max_wait_seconds)
        submitted = await predictions.submit(rows, wait_seconds)
        raise_failure(submitted.id, submitted.prediction)
        response = respond(submitted.id, submitted.prediction, pulse.retry_after())
        response.headers["Vary"] = "Prefer"
        applied = preferences.applied(submitted.prediction.state in FINAL, settings.max_wait_seconds)
        if applied:
            response.headers["Preference-Applied"] = applied
        return response

    @router.get("/results/{prediction_id}", **documents.GET_RESULT)
    async def get_result(prediction_id: str) -> Response:
        parsed = PredictionId.parse(prediction_id)
        return respond(parsed, await predictions.get(parsed), pulse.retry_after())

    @router.delete("/results/{prediction_id}", **documents.CANCEL)
    async def cancel(prediction_id: str) -> Response:
        parsed = PredictionId.parse(prediction_id)
        await predictions.cancel(parsed)
        return respond(parsed, await predictions.get(parsed), pulse.retry_after())

    return router


def status_routes(pulse: Pulse) -> APIRouter:
    """`/model`, `/livez` and `/readyz`."""
    router = APIRouter(tags=["status"])

    @router.get("/model", **documents.MODEL)
    async def model() -> ModelCard:
        return await pulse.current_card()

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
