"""From a request's bytes to rows that fit the model card, or to an error that names the place."""

from typing import Annotated, Any, Final

from fastapi import Request
from pydantic import BaseModel, ConfigDict, FailFast, Field, FiniteFloat, ValidationError, create_model
from starlette.requests import ClientDisconnect

from shared.card import ModelCard
from shared.errors import BodyTooLarge, Fault, InvalidRows, MalformedJson, UnsupportedContentType

Rows = list[list[float]]

_LENGTH_ERRORS: Final = frozenset({"too_short", "too_long"})


class RowsValidator:
    """Checks bodies against the model card of the moment, in one pass over the bytes."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._n_columns = 0
        self._body: type[BaseModel] | None = None

    def __call__(self, raw: bytes, card: ModelCard) -> Rows:
        """Decode a body.

        Raises:
            MalformedJson: it does not parse.
            InvalidRows: the first wrong row, with every wrong value in it.
        """
        if self._body is None or len(card.features) != self._n_columns:
            self._n_columns = len(card.features)
            self._body = _body_model(self._n_columns, self._max_rows)
        try:
            rows: Rows = self._body.model_validate_json(raw).data  # type: ignore[attr-defined]
        except ValidationError as error:
            raise self._refusal(error) from None
        return rows

    def _refusal(self, error: ValidationError) -> MalformedJson | InvalidRows:
        faults = error.errors(include_url=False, include_input=False)
        if faults[0]["type"] == "json_invalid":
            return MalformedJson(f"The body is not JSON: {faults[0]['ctx']['error']}.")
        return InvalidRows([Fault(_pointer(fault["loc"]), self._detail(fault)) for fault in faults])

    def _detail(self, fault: Any) -> str:
        is_row = len(fault["loc"]) == 2
        if is_row and fault["type"] in _LENGTH_ERRORS:
            return f"A row has {self._n_columns} columns, in the order of GET /model."
        return str(fault["msg"])


def _body_model(n_columns: int, max_rows: int) -> type[BaseModel]:
    row = Annotated[list[FiniteFloat], Field(min_length=n_columns, max_length=n_columns)]
    # FailFast: a body that is wrong all over is refused at its first wrong row, not after a million errors.
    rows = Annotated[list[row], Field(min_length=1, max_length=max_rows), FailFast()]
    return create_model("PredictBody", __config__=ConfigDict(strict=True, extra="ignore"), data=(rows, ...))


async def read_json_body(request: Request, max_bytes: int) -> bytes:
    """Read a body that declares itself as JSON.

    Raises:
        UnsupportedContentType: it declares something else, or nothing.
        BodyTooLarge: it is, or says it is, longer than `max_bytes`.
        MalformedJson: the client went away while it sent.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedContentType
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise BodyTooLarge
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise BodyTooLarge
    except ClientDisconnect as error:
        raise MalformedJson("The body ended early.") from error
    return bytes(body)


def _pointer(location: tuple[str | int, ...]) -> str:
    """Write a place in the body as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
