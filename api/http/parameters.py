"""The parameters and headers of requests in OpenAPI; FastAPI checks those that are annotated types."""

from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic.json_schema import SkipJsonSchema

from api.http.headers import DEADLINE_PATTERN, IDEMPOTENCY_KEY_PATTERN
from api.http.schemas import ID_PATTERN
from shared.names import OnError, State

_MAX_ROW_NUMBER: Final = 2**53
BATCH_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{20}(\.[0-9]+)?$"  # shared/ids.py

# Only the schema has the pattern, and FastAPI does not check it: a malformed id is answered with 404.
PredictionIdText = Annotated[str, Path(description="A prediction's id.", json_schema_extra={"pattern": ID_PATTERN})]
Meta = Annotated[bool, Query(description="Adds `meta` to a result: what ran it.")]
Offset = Annotated[
    int,
    Query(ge=0, le=_MAX_ROW_NUMBER, description="Of a bulk prediction: how many rows to leave out at the beginning."),
]
Limit = Annotated[
    int | SkipJsonSchema[None],
    Query(ge=0, le=_MAX_ROW_NUMBER, description="Of a bulk prediction: how many rows to return."),
]
Partial = Annotated[
    bool, Query(description="Of a bulk prediction that is not final: returns the rows that are done, without a gap.")
]
States = Annotated[list[State] | SkipJsonSchema[None], Query(description="Only predictions in these states.")]
PageSize = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str | SkipJsonSchema[None], Query(description="From the page before.", pattern="^[0-9]{1,16}$")]
BatchIdText = Annotated[
    str,
    Path(description="A dead letter's id.", json_schema_extra={"pattern": BATCH_ID_PATTERN}),
]


def _header(name: str, description: str, pattern: str = "", **more: Any) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description, **more}


REQUEST_ID: Final = _header(
    "X-Request-ID",
    "Correlation id, repeated in the response and in the logs of the gateway and the worker: up to 128 printable ASCII "
    "characters without spaces; any other value is ignored.",
)
META: Final = {
    "name": "meta",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "Adds `meta` to a result: what ran it.",
}
PREDICT_HEADERS: Final = [
    _header(
        "Sepal-Deadline",
        "Seconds from now after which the client no longer needs the answer, such as 2.5.",
        pattern=DEADLINE_PATTERN,
    ),
    _header(
        "Idempotency-Key",
        "Requests with the same key and body get the same prediction: a string of 1 to 255 printable ASCII "
        "characters, in quotes.",
        pattern=IDEMPOTENCY_KEY_PATTERN,
    ),
    _header(
        "Prefer",
        "RFC 7240: `wait=N` and `respond-async`. Other preferences are ignored.",
        examples={
            "none": {"summary": "wait for the default time", "value": ""},
            "async": {"summary": "do not wait", "value": "respond-async"},
            "wait": {"summary": "wait up to five seconds", "value": "wait=5"},
        },
    ),
]


def _parameter(name: str, description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema, **more}


UPLOAD: Final = [
    _parameter(
        "on_error",
        "What becomes of a prediction with rows that cannot be scored: it fails, or reports each of them.",
        {"enum": list(OnError), "default": OnError.FAIL},
    ),
    _parameter("outputs", "The outputs to return, instead of the default; separated by commas.", {"type": "string"}),
    _parameter("carry", "Columns to carry through to the result, separated by commas.", {"type": "string"}),
    # No defaults: generated clients would send them with other formats, too.
    _parameter("delimiter", "Of CSV: one ASCII character, instead of a comma.", {"type": "string", "minLength": 1}),
    _parameter("header", "Of CSV: whether the first line has the names, as is usual.", {"type": "boolean"}),
    _parameter(
        "null",
        "Of CSV: texts that are missing values, beside an empty cell.",
        {"type": "array", "items": {"type": "string"}},
    ),
]
UPLOAD_HEADERS: Final = PREDICT_HEADERS[:2]
LAST_EVENT_ID: Final = _header("Last-Event-ID", "The last event that the client has; those after it follow.")
