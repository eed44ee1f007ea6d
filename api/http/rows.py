"""Reads and validates request bodies. An error points to each invalid value."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, FailFast, Field, FiniteFloat, ValidationError, create_model
from starlette.types import Receive

from api.http.headers import RequestHeaders
from shared.card import ModelCard
from shared.errors import BodyTooLarge, Fault, InvalidRows, MalformedJson, UnsupportedContentType

Rows = list[list[float]]
"""One list for each row, with the columns in the card's order."""

_JSON: Final = b"application/json"
_LENGTH_ERRORS: Final = frozenset({"too_short", "too_long"})
_MAX_FAULTS: Final = 1000  # a body of 8 MiB has room for 700,000 unknown members, whose errors would fill 60 MB


class RowsValidator:
    """Validates bodies against the current model card, in one pass over the bytes."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._n_columns = 0
        self._body: type[BaseModel] | None = None

    def __call__(self, body: bytes, card: ModelCard) -> Rows:
        """Decode and validate a body.

        Returns:
            1 to `max_rows` rows of finite numbers, each with as many values as the card has columns.

        Raises:
            MalformedJson: the body does not parse.
            InvalidRows: the body is JSON but does not fit; lists every invalid value of the first invalid row.
        """
        if self._body is None or len(card.features) != self._n_columns:
            self._n_columns = len(card.features)
            self._body = _body_model(self._n_columns, self._max_rows)
        try:
            rows: Rows = self._body.model_validate_json(body).data  # type: ignore[attr-defined]
        except ValidationError as error:
            raise self._refusal(error) from None
        return rows

    def _refusal(self, error: ValidationError) -> MalformedJson | InvalidRows:
        if error.error_count() > _MAX_FAULTS:
            return InvalidRows([Fault("", f"The body has more than {_MAX_FAULTS} errors. {self._members()}")])
        faults = error.errors(include_url=False, include_input=False)
        if faults[0]["type"] == "json_invalid":
            return MalformedJson(f"The body is not JSON: {faults[0]['ctx']['error']}.")
        return InvalidRows([Fault(_pointer(fault["loc"]), self._detail(fault)) for fault in faults])

    def _detail(self, fault: Any) -> str:
        is_row = len(fault["loc"]) == 2
        if is_row and fault["type"] in _LENGTH_ERRORS:
            return f"A row must have {self._n_columns} columns, in the order of GET /model."
        if fault["type"] == "extra_forbidden":
            return f"Unknown member. {self._members()}"
        return str(fault["msg"])

    def _members(self) -> str:
        names = [] if self._body is None else list(self._body.model_fields)
        return "The allowed members are: " + ", ".join(f"`{name}`" for name in names) + "."


def _body_model(n_columns: int, max_rows: int) -> type[BaseModel]:
    row = Annotated[list[FiniteFloat], Field(min_length=n_columns, max_length=n_columns)]
    # FailFast stops at the first invalid row; otherwise a body could produce a million errors.
    rows = Annotated[list[row], Field(min_length=1, max_length=max_rows), FailFast()]
    return create_model("PredictBody", __config__=ConfigDict(strict=True, extra="forbid"), data=(rows, ...))


async def read_json_body(headers: RequestHeaders, receive: Receive, max_bytes: int) -> bytes:
    """Read the body of a request, whose `Content-Type` must be JSON.

    Raises:
        UnsupportedContentType: the content type is missing or not JSON.
        BodyTooLarge: the body, or its `Content-Length`, is longer than `max_bytes`.
        MalformedJson: the client disconnected before the body was complete.
    """
    if headers.media_type != _JSON and not _is_json(headers.media_type):
        raise UnsupportedContentType
    if headers.content_length > max_bytes:
        raise BodyTooLarge
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedJson("The body ended early.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > max_bytes:
            raise BodyTooLarge
    return body


def _is_json(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == _JSON or media_type.endswith(b"+json")


def _pointer(location: tuple[str | int, ...]) -> str:
    """Convert a location in the body to a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
