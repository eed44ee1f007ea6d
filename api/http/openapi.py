"""OpenAPI descriptions of the operations (`/docs`), with example rows of the current model."""

from typing import Any, Final

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from api.bulk.formats import FORMATS
from api.http import schemas
from api.http.body_schema import body_examples, body_schema
from api.http.events import EVENT_STREAM
from api.http.problems import (
    INTERNAL_ERROR,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_READY,
    TOO_MANY_CONNECTIONS,
)
from api.http.schemas import (
    BulkPage,
    BulkPrediction,
    BulkResult,
    EndedPrediction,
    PredictionResult,
    Ready,
    UnfinishedPrediction,
    problems,
)
from shared import errors
from shared.card import ModelCard
from shared.names import FailureCode

_COMMON_ERRORS: Final = (
    INTERNAL_ERROR,
    METHOD_NOT_ALLOWED,
    MALFORMED_REQUEST,
    TOO_MANY_CONNECTIONS,
    errors.BodyTooLarge,
    errors.TooManyBodies,
)
_LOOKUP_ERRORS: Final = (
    *_COMMON_ERRORS,
    NOT_FOUND,  # an id with a slash in it is a different path
    errors.PredictionNotFound,
    errors.PredictionGone,
    errors.RecordIncompatible,
    errors.BrokerUnavailable,
)
_UNFINISHED: Final[dict[str, Any]] = {
    "model": UnfinishedPrediction,
    "description": "Not final yet: poll `Location` after `Retry-After` seconds.",
    "headers": {"Location": schemas.LOCATION, "Retry-After": schemas.RETRY_AFTER},
}
_LINKS: Final = {
    "links": {
        name: {
            "operationId": operation,
            "parameters": {"prediction_id": "$response.body#/id"},
            "description": description,
        }
        for name, operation, description in (
            ("GetResult", "get_result_results__prediction_id__get", "Look up the prediction."),
            ("Cancel", "cancel_results__prediction_id__delete", "Cancel the prediction."),
        )
    }
}

PREDICT: Final[dict[str, Any]] = {
    "summary": "Predict rows",
    "description": (
        "Each output in the answer has one item for each row. Waits for the result for a limited time. With "
        "`Prefer: respond-async`, or if the wait ends first, the status is 202, and `Location` is the path to poll. "
        "`Prefer: wait=N` sets the wait to N seconds (RFC 7240)."
    ),
    "responses": {
        200: {"model": PredictionResult, "description": "The result.", **_LINKS},
        202: {**_UNFINISHED, **_LINKS},
        **problems(
            *_COMMON_ERRORS,
            errors.MalformedJson,
            errors.UnsupportedContentType,
            errors.UnsupportedContentCoding,
            errors.BodyNotRead,
            errors.TooManyWaiters,
            errors.InvalidRows,
            errors.InvalidParameter,
            errors.InvalidDeadline,
            errors.InvalidIdempotencyKey,
            errors.IdempotencyKeyReused,
            errors.IdempotencyKeyInUse,
            errors.BrokerUnavailable,
            errors.BacklogFull,
            errors.DeadlineUnreachable,
            errors.ModelUnknown,
            errors.RecordIncompatible,
            errors.PredictionCanceled,
            errors.PredictionExpired,
            errors.PredictionGone,
            FailureCode.ROWS_REJECTED,
            FailureCode.POISON,
            FailureCode.MODEL_CHANGED,
        ),
    },
    "openapi_extra": {
        "parameters": [schemas.META_PARAMETER, *schemas.PREDICT_HEADERS],
        "requestBody": {"required": True, "content": {"application/json": {}}},  # filled by `describe`
    },
}

_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_TABLES: Final = {media_type: _BINARY for media_type in FORMATS if media_type != "application/json"}

UPLOAD: Final[dict[str, Any]] = {
    "summary": "Upload rows for a bulk prediction",
    "description": (
        "Stores the rows, whatever their number, and returns the prediction. `Content-Type` says what the body is: "
        "CSV, NDJSON, an Arrow stream, Parquet, or a body of `POST /predict`. `Content-Encoding` may be gzip or zstd."
    ),
    "status_code": 202,
    "responses": {
        202: {**_UNFINISHED, "model": BulkPrediction, **_LINKS},
        **problems(
            *_COMMON_ERRORS,
            errors.MalformedJson,
            errors.MalformedUpload,
            errors.UnsupportedContentType,
            errors.UnsupportedContentCoding,
            errors.BodyNotRead,
            errors.InvalidRows,
            errors.InvalidParameter,
            errors.InvalidDeadline,
            errors.InvalidIdempotencyKey,
            errors.IdempotencyKeyReused,
            errors.IdempotencyKeyInUse,
            errors.BrokerUnavailable,
            errors.ObjectStoreUnavailable,
            errors.StorageFull,
            errors.DeadlineUnreachable,
            errors.ModelUnknown,
            errors.RecordIncompatible,
            errors.PredictionGone,
        ),
    },
    "openapi_extra": {
        "parameters": [*schemas.UPLOAD_PARAMETERS, *schemas.UPLOAD_HEADERS],
        "requestBody": {"required": True, "content": {"application/json": {}, **_TABLES}},  # filled by `describe`
    },
}

PREDICTIONS: Final[dict[str, Any]] = {
    "summary": "List your bulk predictions, the latest first",
    "description": "Those with the credentials of this request or, without credentials, from its address.",
    "responses": {
        200: {"model": BulkPage},
        **problems(*_COMMON_ERRORS, errors.InvalidParameter, errors.BrokerUnavailable, errors.RecordIncompatible),
    },
}

GET_RESULT: Final[dict[str, Any]] = {
    "summary": "Look up a prediction",
    "description": (
        "Rows of a bulk prediction are returned in the format that `Accept` prefers; final Arrow streams and Parquet "
        "files have an `ETag`, and `Range` works on them."
    ),
    "responses": {
        200: {
            "model": PredictionResult | EndedPrediction | BulkResult | BulkPrediction,
            "description": "Final: the result, or the reason why there is none.",
            "content": _TABLES,
        },
        202: {**_UNFINISHED, "model": UnfinishedPrediction | BulkPrediction},
        206: {"description": "The part of the file that `Range` asks for.", "content": _TABLES},
        304: {"description": "The client has the file: `If-None-Match` names it."},
        **problems(
            *_LOOKUP_ERRORS,
            errors.InvalidParameter,
            errors.NotAcceptable,
            errors.RangeNotSatisfiable,
            errors.ObjectStoreUnavailable,
            errors.StorageFull,
            errors.ResultNotWritten,
        ),
    },
}

EVENTS: Final[dict[str, Any]] = {
    "summary": "Follow a prediction: server-sent events",
    "description": "`progress` events, and an `end` event when it is final; each holds the status as JSON.",
    "response_class": Response,
    "responses": {
        200: {"content": {EVENT_STREAM: {}}},
        204: {"description": "The client has seen the end: `Last-Event-ID` names it."},
        **problems(*_LOOKUP_ERRORS, errors.TooManyWaiters),
    },
    "openapi_extra": {"parameters": [schemas.LAST_EVENT_ID]},
}

CANCEL: Final[dict[str, Any]] = {
    "summary": "Cancel a prediction",
    "responses": {
        200: {
            "model": EndedPrediction | BulkPrediction,
            "description": "Canceled. A look-up returns the prediction as `canceled`.",
        },
        **problems(*_LOOKUP_ERRORS, errors.PredictionAlreadyFinal),
    },
}

_OPERATOR_ERRORS: Final = (*_COMMON_ERRORS, errors.OperatorsOnly, errors.BrokerUnavailable)
_DEAD_LETTER_ERRORS: Final = (*_OPERATOR_ERRORS, NOT_FOUND, errors.DeadLetterNotFound, errors.RecordIncompatible)
_AUTHORIZATION: Final = "Requires the operator token: `Authorization: Bearer …`."

DEAD_LETTERS: Final[dict[str, Any]] = {
    "summary": "List dead letters, the latest first",
    "description": _AUTHORIZATION,
    "responses": problems(*_OPERATOR_ERRORS, errors.InvalidParameter),
}
DEAD_LETTER: Final[dict[str, Any]] = {
    "summary": "Get a dead letter: its rows, and how each attempt ended",
    "description": _AUTHORIZATION,
    "responses": problems(*_DEAD_LETTER_ERRORS),
}
REPLAY: Final[dict[str, Any]] = {
    "summary": "Replay a dead letter: submit its rows as a new prediction",
    "description": _AUTHORIZATION,
    "status_code": 202,
    "responses": {
        202: {**_UNFINISHED, **_LINKS},
        **problems(*_DEAD_LETTER_ERRORS, errors.InvalidRows, errors.BacklogFull, errors.ModelUnknown),
    },
}
DISCARD: Final[dict[str, Any]] = {
    "summary": "Discard a dead letter",
    "description": _AUTHORIZATION,
    "status_code": 204,
    "responses": problems(*_DEAD_LETTER_ERRORS),
}

MODEL: Final[dict[str, Any]] = {
    "summary": "Get the model card",
    "description": "As JSON, or, if `Accept` prefers `text/html`, as a page for people with a form that sends one row.",
    "response_model": ModelCard,
    "responses": {
        200: {
            "content": {"text/html": {"schema": {"type": "string"}}},
            "headers": {"Vary": {"description": "`Accept`", "required": True, "schema": {"type": "string"}}},
        },
        **problems(*_COMMON_ERRORS, errors.ModelUnknown, errors.RecordIncompatible),
    },
}
LIVEZ: Final[dict[str, Any]] = {
    "summary": "Liveness: this process answers requests",
    "responses": problems(*_COMMON_ERRORS),
}
READYZ: Final[dict[str, Any]] = {
    "summary": "Readiness: a prediction sent now would be answered",
    "responses": {200: {"model": Ready}, **problems(*_COMMON_ERRORS, NOT_READY)},
}
METRICS: Final[dict[str, Any]] = {
    "summary": "Metrics for Prometheus",
    "response_class": Response,
    "responses": {
        200: {
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            }
        },
        **problems(*_COMMON_ERRORS),
    },
}


def describe(app: FastAPI, card: ModelCard | None, max_rows: int) -> dict[str, Any]:
    """Make the OpenAPI schema, with the limits that the gateway checks and example rows of the model."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _describe_rows(schema, card, max_rows)
    _add_shared_components(schema)
    return schema


def _describe_rows(schema: dict[str, Any], card: ModelCard | None, max_rows: int) -> None:
    for path, limit in (("/predict", max_rows), ("/predictions", None)):
        body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        body["schema"] = body_schema(card, limit)
        if card is not None:  # without a card, no example row is known
            body["examples"] = body_examples(card)


def _add_shared_components(schema: dict[str, Any]) -> None:
    components = schema["components"]
    components["schemas"] |= schemas.problem_schemas()
    components["parameters"] = {"RequestId": schemas.REQUEST_ID_PARAMETER}
    components["headers"] = {"RequestId": schemas.REQUEST_ID_HEADER}
    refusals = {str(status): response for status, response in schemas.PROTOCOL_ERRORS.items()}
    components["responses"] = refusals
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for operations in schema["paths"].values():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]  # FastAPI adds this response to every operation with a parameter
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestId"})
            for response in operation["responses"].values():
                response.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/RequestId"}
            operation["responses"] |= {status: {"$ref": f"#/components/responses/{status}"} for status in refusals}
