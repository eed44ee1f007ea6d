"""The FastAPI routes of `/predictions` and of `/results/{id}/events`."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from api.http import operations
from api.http.events import EVENTS_PATH, EventStreams
from api.http.headers import RequestHeaders
from api.http.parameters import Cursor, PageSize, PredictionIdText, States
from api.http.status import bulk_prediction_status
from api.http.stored_results import StoredResults
from api.http.uploads import UploadOperation
from shared.ids import PredictionId
from shared.store.bulk import BulkStore


def bulk_routes(
    operation: UploadOperation, store: BulkStore, results: StoredResults, streams: EventStreams
) -> APIRouter:
    """Make the routes of `/predictions`, and of the events of any prediction."""
    router = APIRouter(tags=["predictions"])

    @router.post("/predictions", **operations.UPLOAD)
    async def upload_rows(request: Request) -> Response:
        return results.status_response(await operation(request), 202)

    @router.get("/predictions", **operations.PREDICTIONS)
    async def list_predictions(
        request: Request, state: States = None, limit: PageSize = 100, cursor: Cursor = None
    ) -> Response:
        host = (request.scope.get("client") or ("",))[0]
        owner = RequestHeaders.read(request.scope["headers"]).owner(host)
        page = await store.list_predictions(owner, state or (), limit, cursor)
        body: dict[str, Any] = {"predictions": [bulk_prediction_status(each) for each in page.predictions]}
        if page.cursor is not None:
            body["cursor"] = page.cursor
        return Response(msgspec.json.encode(body), media_type="application/json")

    @router.get(EVENTS_PATH, **operations.EVENTS)
    async def follow_prediction(request: Request, prediction_id: PredictionIdText) -> Response:
        return await streams.respond(PredictionId.parse(prediction_id), request)

    return router
