"""What operators may do: look at dead letters, send one through again, or let it go."""

import hmac
from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from api import documents
from api.dead_letters import DeadLetter, DeadLetters, Entry
from api.parameters import BatchIdText
from api.predictions import Order, Predictions
from api.pulse import Pulse
from api.rendering import render
from api.routes import to_response
from api.settings import GatewaySettings
from shared.errors import BrokerUnavailable, DeadLetterNotFound, Fault, InvalidRows, OperatorsOnly
from shared.record import pack_rows

_MAX_OFFSET: Final = 1_000_000_000  # Redis counts in 64 bits, and answers more with an error


def operator_routes(
    dead_letters: DeadLetters, predictions: Predictions, pulse: Pulse, settings: GatewaySettings
) -> APIRouter:
    """`/dead-letters`."""

    def check_token(request: Request) -> None:
        token = settings.operator_token
        sent = request.headers.get("authorization", "")
        if token is None or not hmac.compare_digest(sent.encode(), f"Bearer {token.get_secret_value()}".encode()):
            raise OperatorsOnly

    router = APIRouter(prefix="/dead-letters", tags=["operators"], dependencies=[Depends(check_token)])

    @router.get("", **documents.DEAD_LETTERS)
    async def list_dead_letters(
        offset: Annotated[int, Query(ge=0, le=_MAX_OFFSET)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> dict[str, list[Entry]]:
        return {"dead_letters": list(await dead_letters.entries(offset, limit))}

    @router.get("/{batch_id}", **documents.DEAD_LETTER)
    async def get_dead_letter(batch_id: BatchIdText) -> DeadLetter:
        return await dead_letters.get(batch_id)

    @router.post("/{batch_id}/replay", **documents.REPLAY)
    async def replay(batch_id: BatchIdText) -> Response:
        letter = await dead_letters.get(batch_id)
        columns = (await pulse.current_card()).features
        if len(letter.rows[0]) != len(columns):
            raise InvalidRows([Fault("", f"The model that is served now has {len(columns)} columns.")])
        # Accepted before it is discarded: whoever dies in between leaves a dead letter that can be replayed again.
        submitted = await predictions.submit(Order(pack_rows(letter.rows), len(letter.rows), wait_seconds=0))
        with suppress(DeadLetterNotFound, BrokerUnavailable):  # the client is to have its id in any case
            await dead_letters.discard(letter.id)
        return to_response(render(submitted.id, submitted.prediction, pulse.retry_after))

    @router.delete("/{batch_id}", **documents.DISCARD)
    async def discard(batch_id: BatchIdText) -> Response:
        await dead_letters.discard(batch_id)
        return Response(status_code=204)

    return router
