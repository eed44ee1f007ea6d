"""The HTTP surface as FastAPI knows it: documented, and complete; `POST /predict` has a shorter way in too."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api import documents
from api.body import Declared
from api.parameters import PredictionIdText
from api.predict import Predict
from api.predictions import Predictions
from api.problems import not_ready
from api.pulse import Pulse
from api.rendering import Reply, render
from shared.card import ModelCard
from shared.exposition import Exposition
from shared.ids import PredictionId


def prediction_routes(predictions: Predictions, operation: Predict, pulse: Pulse) -> APIRouter:
    """`/predict` and `/results`."""
    router = APIRouter(tags=["predictions"])

    @router.post("/predict", **documents.PREDICT)
    async def predict(request: Request) -> Response:
        declared = Declared.read(request.scope["headers"])
        return to_response(await operation(declared, request.scope, request.receive))

    @router.get("/results/{prediction_id}", **documents.GET_RESULT)
    async def get_result(prediction_id: PredictionIdText) -> Response:
        parsed = PredictionId.parse(prediction_id)
        return to_response(render(parsed, await predictions.get(parsed), pulse.retry_after))

    @router.delete("/results/{prediction_id}", **documents.CANCEL)
    async def cancel(prediction_id: PredictionIdText) -> Response:
        parsed = PredictionId.parse(prediction_id)
        await predictions.cancel(parsed)
        return to_response(render(parsed, await predictions.get(parsed), pulse.retry_after))

    return router


def status_routes(pulse: Pulse, exposition: Exposition) -> APIRouter:
    """`/model`, `/livez`, `/readyz` and `/metrics`; `/` leads to the documentation."""
    router = APIRouter(tags=["status"])

    @router.get("/", include_in_schema=False)
    async def root(request: Request) -> Response:
        return RedirectResponse(request.scope.get("root_path", "") + "/docs")

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

    @router.get("/metrics", **documents.METRICS)
    async def metrics(request: Request) -> Response:
        body, media_type = exposition.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})

    return router


def to_response(reply: Reply) -> Response:
    """Hand a reply to the framework."""
    response = Response(reply.body, reply.status)
    response.raw_headers = reply.headers
    return response
