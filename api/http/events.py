"""`GET /results/{id}/events`: the progress of a prediction as server-sent events (the WHATWG's HTML standard)."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final

import msgspec
from fastapi import Request, Response

from api.bulk.events import Change, Events
from api.http import schemas
from api.http.methods import IS_HEAD_KEY
from api.http.status import bulk_prediction_status, prediction_status
from api.http.streaming import StreamedResponse
from shared.ids import PredictionId
from shared.store.bulk import BulkPrediction

EVENTS_PATH: Final = "/results/{prediction_id}/events"
EVENT_STREAM_TYPE: Final = "text/event-stream"
EVENT_SCHEMA: Final = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"enum": ["progress", "end"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    schemas.schema_reference(model.__name__)
                    for model in (schemas.BulkPrediction, schemas.PredictionStatus)
                ]
            },
        },
    },
}
"""The schema of one event, as `itemSchema` of OpenAPI 3.2."""
_HEADERS: Final = {"content-type": EVENT_STREAM_TYPE, "x-accel-buffering": "no"}  # otherwise nginx buffers the events
_KEEP_ALIVE: Final = b": nothing has changed\n\n"
_EVENT_NUMBER: Final = re.compile(r"[0-9]{1,18}")


class EventStreams:
    """The event streams of one gateway process."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """End every stream; the clients reconnect, to another gateway."""
        self._draining.set()

    async def respond(self, prediction_id: PredictionId, request: Request) -> Response:
        """Stream the events after the one in `Last-Event-ID`; respond with 204 if that was the last.

        Raises:
            TooManyWaiters, PredictionNotFound, PredictionGone: as `Events.first`.
            RecordIncompatible, BrokerUnavailable: likewise.
        """
        last = request.headers.get("last-event-id", "")
        seen = int(last) if _EVENT_NUMBER.fullmatch(last) else None
        change = await self._events.read_latest(prediction_id)
        if change.is_end and change.number == seen:
            return Response(status_code=204)  # after a 204, an EventSource does not reconnect
        if IS_HEAD_KEY in request.scope:
            return Response(headers=_HEADERS)
        return StreamedResponse(partial(self._open_stream, prediction_id, change, seen), 200, _HEADERS)

    @asynccontextmanager
    async def _open_stream(
        self, prediction_id: PredictionId, change: Change, last_seen_number: int | None
    ) -> AsyncIterator[AsyncGenerator[bytes]]:
        changes = self._events.follow(prediction_id, change, last_seen_number, self._draining)
        async with aclosing(changes), aclosing(_format_events(prediction_id, changes)) as parts:
            yield parts


async def _format_events(prediction_id: PredictionId, changes: AsyncGenerator[Change | None]) -> AsyncGenerator[bytes]:
    async for change in changes:
        if change is None:
            yield _KEEP_ALIVE
        else:
            status = msgspec.json.encode(_status_data(prediction_id, change))
            name = b"end" if change.is_end else b"progress"
            yield b"id: %d\nevent: %b\ndata: %b\n\n" % (change.number, name, status)


def _status_data(prediction_id: PredictionId, change: Change) -> dict[str, Any]:
    if isinstance(change.prediction, BulkPrediction):
        return bulk_prediction_status(change.prediction)
    return prediction_status(prediction_id, change.prediction)
