"""Schemas of requests and responses for OpenAPI."""

from collections import defaultdict
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema, models_json_schema

from api.http.headers import DEADLINE_PATTERN, IDEMPOTENCY_KEY_PATTERN
from api.http.problems import (
    EXPECTATION_FAILED,
    HEADERS_TOO_LARGE,
    HTTP_VERSION_NOT_SUPPORTED,
    INTERNAL_ERROR,
    LONGEST_RETRY_SECONDS,
    MALFORMED_REQUEST,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    NOT_READY,
    REQUEST_LINE_TOO_LONG,
    REQUEST_TIMEOUT,
    STATUS,
    TOO_MANY_CONNECTIONS,
)
from shared.card import ModelRef
from shared.errors import SepalError
from shared.names import FailureCode, OnError, State

ID_PATTERN: Final = "^[A-Za-z0-9_-]{40}$"  # shared/ids.py
"""A prediction's id: 30 bytes in base64url, so every text of this form can be an id."""
ID_EXAMPLE: Final = "AZ2x6FO3mZk1cXHq0d2TAAAFgq2c7m0eVb4Yt0Wb"


class Place(BaseModel):
    """An error in a request body."""

    pointer: str = Field(description="A JSON pointer (RFC 6901).", examples=["/data/3/2"])
    detail: str = Field(description="What to change.")


class Reason(BaseModel):
    """An error code and its explanation."""

    code: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457); its `code` is the same in every version."""

    type: Literal["about:blank"]
    title: str
    status: int
    code: str
    detail: str
    errors: list[Place] | SkipJsonSchema[None] = Field(None, description="Every error in the first invalid row.")
    id: str | SkipJsonSchema[None] = Field(None, description="The id of the prediction that has no result.")
    reasons: list[Reason] | SkipJsonSchema[None] = Field(None, description="Why the gateway is not ready.")


class BatchProvenance(BaseModel):
    """What ran a batch."""

    attempt: int | SkipJsonSchema[None] = Field(None, ge=1, description="The number of the attempt, from 1.")
    rows: int | SkipJsonSchema[None] = Field(None, ge=1, description="Rows in the batch, of all its predictions.")
    worker: str | SkipJsonSchema[None] = None
    versions: dict[str, str] | SkipJsonSchema[None] = Field(
        None, description="Of Python and of the distributions that the model needs, as installed there."
    )


class ResultMeta(BatchProvenance):
    """What ran a prediction; with several batches, the other members stand in each of `batches`."""

    digest: str = Field(description="Of the artifact.")
    batches: list[BatchProvenance] | SkipJsonSchema[None] = None


class PredictionResult(BaseModel):
    """A succeeded prediction: one item for each row in each output.

    A number that is not finite is a string, such as `"-Infinity"`, the log of a zero probability.
    """

    prediction: list[Any] | SkipJsonSchema[None] = Field(
        None, description="Labels or numbers; a list for each row if the model predicts several at once."
    )
    log_proba: list[Any] | SkipJsonSchema[None] = Field(
        None, description="Natural logarithms, one column for each class in GET /model; absent without classes."
    )
    proba: list[Any] | SkipJsonSchema[None] = Field(None, description="Probabilities, in the same columns.")
    decision: list[Any] | SkipJsonSchema[None] = Field(None, description="What `decision_function` returns.")
    scores: list[Any] | SkipJsonSchema[None] = Field(None, description="What `score_samples` returns.")
    transform: list[Any] | SkipJsonSchema[None] = Field(None, description="The transformed row.")
    leaves: list[Any] | SkipJsonSchema[None] = Field(None, description="The index of the row's leaf in each tree.")
    meta: ResultMeta | SkipJsonSchema[None] = Field(None, description="With `?meta=true`.")
    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: Literal["succeeded"]
    model: ModelRef


class Progress(BaseModel):
    """Progress of a prediction that is not final, in rows."""

    done: int = Field(ge=0)
    total: int = Field(ge=1)


class UnfinishedPrediction(BaseModel):
    """A prediction that is not final."""

    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: Literal["queued", "running"]
    model: ModelRef
    rows: Progress


class BulkProgress(Progress):
    """Progress of a bulk prediction, in rows."""

    bad: int = Field(ge=0, description="Of those that are done, the rows without a result.")


class BulkReason(Reason):
    """Why a bulk prediction failed."""

    errors: list[Place] | SkipJsonSchema[None] = Field(None, description="The first rows that cannot be scored.")


class BulkPrediction(BaseModel):
    """A bulk prediction: what `POST /predictions` and lists return, and every look-up without rows."""

    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
    model: ModelRef
    rows: BulkProgress
    position: int | SkipJsonSchema[None] = Field(
        None, ge=0, description="While it is not final: the number of such predictions that were accepted earlier."
    )
    rows_per_second: float | SkipJsonSchema[None] = Field(None, ge=0, description="Once rows are done.")
    seconds_left: int | SkipJsonSchema[None] = Field(None, ge=0, description="At this rate.")
    error: BulkReason | SkipJsonSchema[None] = Field(None, description="Why it failed.")


class BulkPage(BaseModel):
    """Some bulk predictions, the latest first."""

    predictions: list[BulkPrediction]
    cursor: str | SkipJsonSchema[None] = Field(None, description="Of the next page; absent on the last.")


class BulkResult(PredictionResult):
    """The rows of a succeeded bulk prediction as JSON; a row without a result has null in each output."""

    carried: dict[str, list[Any]] | SkipJsonSchema[None] = Field(None, description="The carried columns.")
    errors: list[Place] | SkipJsonSchema[None] = Field(None, description="With `on_error=report`: rows without result.")
    rows: BulkProgress


class EndedPrediction(BaseModel):
    """A prediction that is final and has no result."""

    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: Literal["failed", "canceled", "expired"]
    model: ModelRef
    error: Reason | SkipJsonSchema[None] = Field(None, description="Why it failed.")


class Ready(BaseModel):
    """A gateway that is ready."""

    status: Literal["ready"]


_MEANING: Final[dict[str, tuple[HTTPStatus, str]]] = {
    NOT_FOUND: (HTTPStatus.NOT_FOUND, "No such path."),
    METHOD_NOT_ALLOWED: (HTTPStatus.METHOD_NOT_ALLOWED, "`Allow` lists the methods of this path."),
    NOT_READY: (STATUS[NOT_READY], "`reasons` lists the causes."),
    INTERNAL_ERROR: (STATUS[INTERNAL_ERROR], "A bug: the log of the gateway has its traceback."),
    MALFORMED_REQUEST: (STATUS[MALFORMED_REQUEST], "The request is not HTTP/1.1 as RFC 9110 and RFC 9112 define it."),
    REQUEST_TIMEOUT: (STATUS[REQUEST_TIMEOUT], "The headers took too long, or the body was too slow."),
    REQUEST_LINE_TOO_LONG: (STATUS[REQUEST_LINE_TOO_LONG], "The request line is too long."),
    EXPECTATION_FAILED: (STATUS[EXPECTATION_FAILED], "`Expect` is not `100-continue`."),
    HEADERS_TOO_LARGE: (STATUS[HEADERS_TOO_LARGE], "The headers or trailers are too large or too many."),
    NOT_IMPLEMENTED: (STATUS[NOT_IMPLEMENTED], "The method or the transfer coding is unknown."),
    TOO_MANY_CONNECTIONS: (STATUS[TOO_MANY_CONNECTIONS], "No further connection is allowed."),
    HTTP_VERSION_NOT_SUPPORTED: (STATUS[HTTP_VERSION_NOT_SUPPORTED], "The version of HTTP is not 1.x."),
    FailureCode.ROWS_REJECTED: (STATUS[FailureCode.ROWS_REJECTED], "The pipeline raised on these rows."),
    FailureCode.POISON: (STATUS[FailureCode.POISON], "Every attempt at these rows alone crashed or timed out."),
    FailureCode.MODEL_CHANGED: (STATUS[FailureCode.MODEL_CHANGED], "The workers now serve another artifact."),
}

RETRY_AFTER: Final = {
    "description": "Seconds until the next request should be sent.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1, "maximum": LONGEST_RETRY_SECONDS},
}
REQUEST_ID_HEADER: Final = {
    "description": "The value from the request; absent if that is missing or invalid.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},  # api/http/headers.py
}
LOCATION: Final = {
    "description": "The path to poll.",
    "required": True,
    "schema": {"type": "string", "pattern": ID_PATTERN.replace("^", "^/results/")},
}
_ALLOW: Final = {"description": "The methods of this path.", "required": True, "schema": {"type": "string"}}
_HEADERS: Final[dict[HTTPStatus, dict[str, Any]]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: {"Allow": _ALLOW},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": RETRY_AFTER},
}


def problems(*causes: type[SepalError] | str) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of an operation, grouped by HTTP status."""
    by_status: dict[HTTPStatus, dict[str, str]] = defaultdict(dict)
    for cause in causes:
        if isinstance(cause, str):
            status, meaning = _MEANING[cause]
            by_status[status][str(cause)] = meaning
        else:
            by_status[STATUS[cause.code]][cause.code] = (cause.__doc__ or "").partition("\n")[0]
    return {status.value: _response(status, codes) for status, codes in sorted(by_status.items())}


def _response(status: HTTPStatus, codes: dict[str, str]) -> dict[str, Any]:
    narrowed = {"status": {"const": status.value}, "code": {"enum": sorted(codes)}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": narrowed}]}
    response: dict[str, Any] = {
        "description": "\n\n".join(f"`{code}`: {meaning}" for code, meaning in sorted(codes.items())),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    return response | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


PROTOCOL_ERRORS: Final = problems(
    REQUEST_TIMEOUT,
    REQUEST_LINE_TOO_LONG,
    EXPECTATION_FAILED,
    HEADERS_TOO_LARGE,
    NOT_IMPLEMENTED,
    HTTP_VERSION_NOT_SUPPORTED,
)
"""The refusals of the HTTP protocol whose statuses no operation has."""


def problem_schemas() -> dict[str, Any]:
    """Return the schemas that the responses of `problems` refer to."""
    _, schema = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


_LARGEST: Final = 2**53
BATCH_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{20}(\.[0-9]+)?$"  # shared/ids.py

# Only the schema has the pattern, and FastAPI does not check it: a malformed id is answered with 404.
PredictionIdText = Annotated[str, Path(description="A prediction's id.", json_schema_extra={"pattern": ID_PATTERN})]
Meta = Annotated[bool, Query(description="Adds `meta` to a result: what ran it.")]
Offset = Annotated[
    int, Query(ge=0, le=_LARGEST, description="Of a bulk prediction: how many rows to leave out at the beginning.")
]
Limit = Annotated[
    int | SkipJsonSchema[None], Query(ge=0, le=_LARGEST, description="Of a bulk prediction: how many rows to return.")
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


REQUEST_ID_PARAMETER: Final = _header(
    "X-Request-ID",
    "Correlation id, repeated in the response and in the logs of the gateway and the worker: up to 128 printable ASCII "
    "characters without spaces; any other value is ignored.",
)
META_PARAMETER: Final = {
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


UPLOAD_PARAMETERS: Final = [
    _parameter(
        "on_error",
        "What becomes of a prediction with rows that cannot be scored: it fails, or reports each of them.",
        {"enum": list(OnError), "default": OnError.FAIL},
    ),
    _parameter("outputs", "The outputs to return, instead of the default; separated by commas.", {"type": "string"}),
    _parameter("carry", "Columns to carry through to the result, separated by commas.", {"type": "string"}),
    _parameter("delimiter", "Of CSV: one ASCII character.", {"type": "string", "minLength": 1, "default": ","}),
    _parameter("header", "Of CSV: whether the first line has the names.", {"type": "boolean", "default": True}),
    _parameter(
        "null",
        "Of CSV: texts that are missing values, beside an empty cell.",
        {"type": "array", "items": {"type": "string"}},
    ),
]
UPLOAD_HEADERS: Final = PREDICT_HEADERS[:2]
LAST_EVENT_ID: Final = _header("Last-Event-ID", "The last event that the client has; those after it follow.")
