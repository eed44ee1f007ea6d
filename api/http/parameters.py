"""The request parameters and headers in OpenAPI; FastAPI validates those that are annotated types."""

from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic.json_schema import SkipJsonSchema

from api.http.headers import DEADLINE_PATTERN, IDEMPOTENCY_KEY_PATTERN
from api.http.schemas import ID_PATTERN
from shared.names import OnError, State

_MAX_ROW_NUMBER: Final = 2**53
BATCH_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{20}(\.[0-9]+)?$"  # shared/ids.py

# The pattern is only in the schema, and FastAPI does not check it: the response to a malformed id is 404.
PredictionIdText = Annotated[str, Path(description="A prediction's id.", json_schema_extra={"pattern": ID_PATTERN})]
Meta = Annotated[bool, Query(description="Adds `meta` to a result: how it was computed.")]
Offset = Annotated[
    int,
    Query(ge=0, le=_MAX_ROW_NUMBER, description="For a bulk prediction: the number of rows to skip at the beginning."),
]
Limit = Annotated[
    int | SkipJsonSchema[None],
    Query(ge=0, le=_MAX_ROW_NUMBER, description="For a bulk prediction: the maximum number of rows to return."),
]
Partial = Annotated[
    bool,
    Query(description="For a bulk prediction that is not final: returns the rows that are done, up to the first gap."),
]
States = Annotated[list[State] | SkipJsonSchema[None], Query(description="Only predictions in these states.")]
PageSize = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[
    str | SkipJsonSchema[None], Query(description="The cursor of the previous page.", pattern="^[0-9]{1,16}$")
]
BatchIdText = Annotated[
    str,
    Path(description="A dead letter's id.", json_schema_extra={"pattern": BATCH_ID_PATTERN}),
]


def _header_parameter(name: str, description: str, pattern: str = "", **more_members: Any) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": schema,
        "description": description,
        **more_members,
    }


REQUEST_ID: Final = _header_parameter(
    "X-Request-ID",
    "Correlation id, repeated in the response and in the logs of the gateway and the worker: up to 128 printable ASCII "
    "characters without spaces; any other value is ignored.",
)
META: Final = {
    "name": "meta",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "Adds `meta` to a result: how it was computed.",
}
PREDICT_HEADERS: Final = [
    _header_parameter(
        "Sepal-Deadline",
        "Seconds from now after which the client no longer needs the result, such as 2.5.",
        pattern=DEADLINE_PATTERN,
    ),
    _header_parameter(
        "Idempotency-Key",
        "Requests with the same key and body get the same prediction: a string of 1 to 255 printable ASCII "
        "characters, in quotes.",
        pattern=IDEMPOTENCY_KEY_PATTERN,
    ),
    _header_parameter(
        "Prefer",
        "RFC 7240: `wait=N` and `respond-async`. Other preferences are ignored.",
        examples={
            "none": {"summary": "wait for the default time", "value": ""},
            "async": {"summary": "do not wait", "value": "respond-async"},
            "wait": {"summary": "wait up to five seconds", "value": "wait=5"},
        },
    ),
]


def _parameter(name: str, description: str, schema: dict[str, Any], **more_members: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
        **more_members,
    }


UPLOAD_PARAMETERS: Final = [
    _parameter(
        "on_error",
        "If rows cannot be scored: whether the prediction fails, or its result reports an error for each of them.",
        {"enum": list(OnError), "default": OnError.FAIL},
    ),
    _parameter("outputs", "The outputs to return, instead of the default; separated by commas.", {"type": "string"}),
    _parameter("carry", "Columns to carry over to the result, separated by commas.", {"type": "string"}),
    # No defaults: generated clients would send them with other formats, too.
    _parameter("delimiter", "For CSV: one ASCII character, instead of a comma.", {"type": "string", "minLength": 1}),
    _parameter("header", "For CSV: whether the first line has the column names; true by default.", {"type": "boolean"}),
    _parameter(
        "null",
        "For CSV: strings that are missing values, in addition to an empty cell.",
        {"type": "array", "items": {"type": "string"}},
    ),
]
UPLOAD_HEADERS: Final = PREDICT_HEADERS[:2]
LAST_EVENT_ID: Final = _header_parameter(
    "Last-Event-ID", "The id of the last event that the client received; the stream continues after it."
)
