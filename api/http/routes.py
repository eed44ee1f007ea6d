"""The FastAPI routes. The hot path in front of them normally handles `POST /predict`."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.bulk.downloads import Window
from api.cluster.status import ClusterStatus
from api.http import operations
from api.http.headers import RequestHeaders
from api.http.hot_path import PredictOperation
from api.http.model_page import ModelPage
from api.http.negotiation import preferred_type
from api.http.parameters import Limit, Meta, Offset, Partial, PredictionIdText
from api.http.problems import not_ready_response
from api.http.rendering import render, to_starlette
from api.http.schemas import Live
from api.http.service_status import ServiceStatus, service_status
from api.http.stored_results import StoredResults, check_requests_json
from api.predictions.service import PredictionService
from shared.ids import PredictionId
from shared.store.lookups import Lookups
from shared.telemetry.exposition import Exposition


def prediction_routes(
    service: PredictionService,
    lookups: Lookups,
    operation: PredictOperation,
    cluster: ClusterStatus,
    stored_results: StoredResults,
) -> APIRouter:
    """Make the routes of `/predict`, and of `/results` for any prediction."""
    router = APIRouter(tags=["predictions"])
    retry_after = cluster.backlog.retry_after

    @router.post("/predict", **operations.PREDICT)
    async def predict(request: Request) -> Response:
        headers = RequestHeaders.read(request.scope["headers"])
        return to_starlette(await operation(headers, request.scope, request.receive))

    @router.get("/results/{prediction_id}", **operations.GET_RESULT)
    async def get_result(
        request: Request,
        prediction_id: PredictionIdText,
        meta: Meta = False,
        offset: Offset = 0,
        limit: Limit = None,
        partial: Partial = False,
    ) -> Response:
        parsed = PredictionId.parse(prediction_id)
        window = Window(offset, limit, partial)
        if parsed.is_stored:
            return await stored_results.respond(parsed, request, window)
        check_requests_json(request.headers, window)
        return to_starlette(render(parsed, await lookups.read(parsed), retry_after, has_meta=meta))

    @router.delete("/results/{prediction_id}", **operations.CANCEL)
    async def cancel_prediction(prediction_id: PredictionIdText) -> Response:
        parsed = PredictionId.parse(prediction_id)
        if parsed.is_stored:
            return await stored_results.cancel(parsed)
        await service.cancel(parsed)
        return to_starlette(render(parsed, await lookups.read(parsed), retry_after))

    return router


def service_routes(cluster: ClusterStatus, page: ModelPage) -> APIRouter:
    """Make the routes of `/model` and `/status`, and of `/`, which redirects to the documentation."""
    router = APIRouter(tags=["status"])

    @router.get("/", include_in_schema=False)
    async def root(request: Request) -> Response:
        return RedirectResponse(request.scope.get("root_path", "") + "/docs")

    @router.get("/model", **operations.MODEL)
    async def get_model(request: Request, response: Response) -> Any:
        card = await cluster.current_card()
        if preferred_type(request.headers.getlist("accept"), ("application/json", "text/html")) == "text/html":
            return await page.respond(request, card)
        response.headers["Vary"] = "Accept"
        return card

    @router.get("/status", **operations.STATUS)
    async def get_status() -> ServiceStatus:
        return service_status(cluster)

    return router


def probe_routes(cluster: ClusterStatus, exposition: Exposition) -> APIRouter:
    """Make the routes of `/livez`, `/readyz` and `/metrics`."""
    router = APIRouter(tags=["status"])

    @router.get("/livez", **operations.LIVEZ)
    async def livez() -> Live:
        return Live(status="live")

    @router.get("/readyz", **operations.READYZ)
    async def readyz() -> Response:
        reasons = cluster.unready_reasons()
        if reasons:
            return not_ready_response(reasons, cluster.backlog.retry_after())
        return Response(b'{"status":"ready"}', media_type="application/json")

    @router.get("/metrics", **operations.METRICS)
    async def get_metrics(request: Request) -> Response:
        body, media_type = exposition.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})

    return router
