"""From a request's bytes to rows that fit the model card, or to an error that names the place."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Self

import msgspec
from pydantic import BaseModel, ConfigDict, FailFast, Field, FiniteFloat, ValidationError, create_model
from starlette.types import Receive

from shared.card import ModelCard
from shared.errors import BodyTooLarge, Fault, InvalidRows, MalformedJson, UnsupportedContentType
from shared.store.records import Origin

Rows = list[list[float]]

_JSON: Final = b"application/json"
_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LENGTH_ERRORS: Final = frozenset({"too_short", "too_long"})
_MAX_FAULTS: Final = 1000  # a body of 8 MiB has room for 700,000 unknown members, whose errors would fill 60 MB


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
        if error.error_count() > _MAX_FAULTS:
            return InvalidRows([Fault("", f"Over {_MAX_FAULTS} places are wrong. {self._members()}")])
        faults = error.errors(include_url=False, include_input=False)
        if faults[0]["type"] == "json_invalid":
            return MalformedJson(f"The body is not JSON: {faults[0]['ctx']['error']}.")
        return InvalidRows([Fault(_pointer(fault["loc"]), self._detail(fault)) for fault in faults])

    def _detail(self, fault: Any) -> str:
        is_row = len(fault["loc"]) == 2
        if is_row and fault["type"] in _LENGTH_ERRORS:
            return f"A row has {self._n_columns} columns, in the order of GET /model."
        if fault["type"] == "extra_forbidden":
            return f"There is no such member. {self._members()}"
        return str(fault["msg"])

    def _members(self) -> str:
        names = [] if self._body is None else list(self._body.model_fields)
        return "The members of a body are: " + ", ".join(f"`{name}`" for name in names) + "."


def _body_model(n_columns: int, max_rows: int) -> type[BaseModel]:
    row = Annotated[list[FiniteFloat], Field(min_length=n_columns, max_length=n_columns)]
    # FailFast: a body that is wrong all over is refused at its first wrong row, not after a million errors.
    rows = Annotated[list[row], Field(min_length=1, max_length=max_rows), FailFast()]
    return create_model("PredictBody", __config__=ConfigDict(strict=True, extra="forbid"), data=(rows, ...))


class Declared(msgspec.Struct, frozen=True):
    """What a request's headers say, as far as `POST /predict` asks."""

    media_type: bytes
    length: int
    prefer: list[bytes]
    deadline: bytes | None
    idempotency_key: bytes | None
    authorization: bytes
    request_id: str
    """The correlation id; empty where there is none, or none that could stand in a log."""
    traceparent: str
    """The client's span (W3C Trace Context); empty where there is none."""

    @property
    def origin(self) -> Origin | None:
        """What is to be known of the request wherever its rows go; its span is added where there is one."""
        return Origin(self.request_id) if self.request_id else None

    @classmethod
    def read(cls, headers: Sequence[tuple[bytes, bytes]]) -> Self:
        """Take what is needed out of ASGI's headers, whose names are in lower case."""
        found = dict(headers)
        request_id, traceparent = found.get(b"x-request-id", b""), found.get(b"traceparent", b"")
        return cls(
            found.get(b"content-type", b""),
            int(found.get(b"content-length", 0)),
            [value for name, value in headers if name == b"prefer"] if b"prefer" in found else [],
            found.get(b"sepal-deadline"),
            found.get(b"idempotency-key"),
            found.get(b"authorization", b""),
            request_id.decode() if request_id and _REQUEST_ID.fullmatch(request_id) else "",
            traceparent.decode() if traceparent and _TRACEPARENT.fullmatch(traceparent) else "",
        )


async def read_json_body(declared: Declared, receive: Receive, max_bytes: int) -> bytes:
    """Read a body that declares itself as JSON.

    Raises:
        UnsupportedContentType: it declares something else, or nothing.
        BodyTooLarge: it is, or says it is, longer than `max_bytes`.
        MalformedJson: the client went away while it sent.
    """
    if declared.media_type != _JSON and not _is_json(declared.media_type):
        raise UnsupportedContentType
    if declared.length > max_bytes:
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
    """Write a place in the body as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
