"""OpenAPI descriptions of the operations (`/docs`), with example rows of the current model."""

from typing import Any, Final

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from api.http import schemas
from api.http.body_schema import body_examples, body_schema
from api.http.problems import (
    INTERNAL_ERROR,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_READY,
    TOO_MANY_CONNECTIONS,
)
from api.http.schemas import EndedPrediction, PredictionResult, Ready, UnfinishedPrediction, problems
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

GET_RESULT: Final[dict[str, Any]] = {
    "summary": "Look up a prediction",
    "responses": {
        200: {
            "model": PredictionResult | EndedPrediction,
            "description": "Final: the result, or the reason why there is none.",
        },
        202: _UNFINISHED,
        **problems(*_LOOKUP_ERRORS, errors.InvalidParameter),
    },
}

CANCEL: Final[dict[str, Any]] = {
    "summary": "Cancel a prediction",
    "responses": {
        200: {"model": EndedPrediction, "description": "Canceled. A look-up returns the prediction as `canceled`."},
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
    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    body["schema"] = body_schema(card, max_rows)
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
