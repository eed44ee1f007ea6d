"""`/dead-letters`: operators list, read, replay and discard dead letters."""

import hmac
from contextlib import suppress
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter

from api.cluster.status import ClusterStatus
from api.http import operations
from api.http.parameters import BatchIdText
from api.http.rendering import render, to_starlette
from api.http.requested_outputs import read_outputs
from api.predictions.service import PredictionRequest, PredictionService
from api.settings import GatewaySettings
from shared.card import ModelCard, ModelRef
from shared.errors import BrokerUnavailable, DeadLetterNotFound, Fault, InvalidRows, OperatorsOnly
from shared.rows import EncodedRows, decode
from shared.store.dead_letters import DeadLetter, DeadLetters
from shared.store.records import Origin


class LostAttempt(BaseModel):
    """An attempt that ended without an outcome."""

    worker: str
    pid: int = Field(description="Process id of the pool process.")
    claimed_us: int = Field(description="Time of the claim by the store's clock, in microseconds since 1970.")
    lost_us: int
    reason: str


class ListedDeadLetter(BaseModel):
    """A dead letter in a list."""

    id: str = Field(description="The id of the batch, which has one prediction, or a part of a spanning prediction.")
    buried: int = Field(description="When the batch became a dead letter, in seconds since 1970.")


class DeadLetterPage(BaseModel):
    """A page of dead letters, the latest first."""

    dead_letters: list[ListedDeadLetter]


class ShownDeadLetter(ListedDeadLetter):
    """A dead letter with its rows and its lost attempts."""

    prediction: str = Field(description="The prediction's id.")
    model: ModelRef = Field(description="The model that the rows were accepted for.")
    created_us: int = Field(
        description="When the rows were accepted, by the store's clock, in microseconds since 1970."
    )
    attempts: list[LostAttempt]
    rows: list[Any] = Field(description="Each row as an array of values, or as a text.")

    @classmethod
    def from_dead_letter(cls, batch_id: str, dead_letter: DeadLetter) -> Self:
        """Convert a dead letter of the store."""
        return cls(
            id=batch_id,
            buried=dead_letter.buried,
            prediction=dead_letter.prediction,
            model=ModelRef.model_validate_json(dead_letter.model),
            created_us=dead_letter.created_us,
            attempts=_ATTEMPTS_ADAPTER.validate_json(dead_letter.attempts),
            rows=decode(dead_letter.rows),
        )


_ATTEMPTS_ADAPTER: TypeAdapter[list[LostAttempt]] = TypeAdapter(list[LostAttempt])

_MAX_OFFSET: Final = 1_000_000_000  # Redis refuses an offset of more than 64 bits with an error


def operator_routes(
    dead_letters: DeadLetters, service: PredictionService, cluster: ClusterStatus, settings: GatewaySettings
) -> APIRouter:
    """Make the routes of `/dead-letters`; all of them require the operator token."""

    def check_token(request: Request) -> None:
        token = settings.operator_token
        sent = request.headers.get("authorization", "")
        if token is None or not hmac.compare_digest(sent.encode(), f"Bearer {token.get_secret_value()}".encode()):
            raise OperatorsOnly

    router = APIRouter(prefix="/dead-letters", tags=["operators"], dependencies=[Depends(check_token)])

    @router.get("", **operations.DEAD_LETTERS)
    async def list_dead_letters(
        offset: Annotated[int, Query(ge=0, le=_MAX_OFFSET)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> DeadLetterPage:
        entries = await dead_letters.list_entries(offset, limit)
        return DeadLetterPage(dead_letters=[ListedDeadLetter(id=entry.id, buried=entry.buried) for entry in entries])

    @router.get("/{batch_id}", **operations.DEAD_LETTER)
    async def get_dead_letter(batch_id: BatchIdText) -> ShownDeadLetter:
        return ShownDeadLetter.from_dead_letter(batch_id, await dead_letters.get(batch_id))

    @router.post("/{batch_id}/replay", **operations.REPLAY)
    async def replay_dead_letter(batch_id: BatchIdText) -> Response:
        letter = await dead_letters.get(batch_id)
        card = await cluster.current_card()
        _check_row_form(letter.rows, card)
        # Submit before discarding: if the gateway dies in between, the dead letter can still be replayed.
        response = await service.submit(
            PredictionRequest([letter.rows], wait_seconds=0, origin=_make_origin(letter, card))
        )
        with suppress(DeadLetterNotFound, BrokerUnavailable):  # the client gets its id even if the dead letter stays
            await dead_letters.discard(batch_id)
        return to_starlette(render(response.id, response.prediction, cluster.backlog.retry_after))

    @router.delete("/{batch_id}", **operations.DISCARD)
    async def discard_dead_letter(batch_id: BatchIdText) -> Response:
        await dead_letters.discard(batch_id)
        return Response(status_code=204)

    return router


def _make_origin(dead_letter: DeadLetter, card: ModelCard) -> Origin | None:
    """Return an origin with the outputs that the client requested; None for the default outputs.

    Raises:
        InvalidRows: the current model does not have these outputs.
    """
    outputs = read_outputs(list(dead_letter.outputs), card) if dead_letter.outputs else ()
    return Origin(outputs=outputs) if outputs else None


def _check_row_form(rows: EncodedRows, card: ModelCard) -> None:
    """Check that the current model accepts rows of this form; their values are not checked.

    Raises:
        InvalidRows: the model takes another kind of row, or another number of columns.
    """
    row, n_columns = decode(rows)[0], len(card.input.columns)
    takes_texts = card.input.kind == "text"
    if rows.encoding is not card.encoding or isinstance(row, str) is not takes_texts:
        raise InvalidRows([Fault("", "The current model takes another kind of row.")])
    if not takes_texts and len(row) != n_columns:
        raise InvalidRows([Fault("", f"The current model has {n_columns} columns.")])
