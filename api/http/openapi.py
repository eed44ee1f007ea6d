"""What `/docs` says of each operation, with examples that the served model answers."""

from typing import Any, Final

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from api.cluster.status import ClusterStatus
from api.http import schemas
from api.http.problems import INTERNAL_ERROR, METHOD_NOT_ALLOWED, NOT_FOUND, NOT_READY
from api.http.schemas import EndedPrediction, PredictionResult, Ready, UnfinishedPrediction, problems
from shared import errors
from shared.card import ModelCard
from shared.names import FailureCode

_EVERYWHERE: Final = (INTERNAL_ERROR, METHOD_NOT_ALLOWED)
_LOOKUP_ERRORS: Final = (
    *_EVERYWHERE,
    NOT_FOUND,  # a slash in an id makes another path of it
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
            ("GetResult", "get_result_results__prediction_id__get", "Look the prediction up."),
            ("Cancel", "cancel_results__prediction_id__delete", "Cancel it."),
        )
    }
}

PREDICT: Final[dict[str, Any]] = {
    "summary": "Predict rows",
    "description": (
        "Waits a moment for the answer. With `Prefer: respond-async`, or when the wait is over, answers 202 and the "
        "place to poll; `Prefer: wait=N` asks for another wait, in seconds (RFC 7240)."
    ),
    "responses": {
        200: {"model": PredictionResult, "description": "The answer.", **_LINKS},
        202: {**_UNFINISHED, **_LINKS},
        **problems(
            *_EVERYWHERE,
            errors.MalformedJson,
            errors.UnsupportedContentType,
            errors.BodyTooLarge,
            errors.InvalidRows,
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
        "parameters": schemas.PREDICT_HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {}}},  # filled by `install`
    },
}

GET_RESULT: Final[dict[str, Any]] = {
    "summary": "Look a prediction up",
    "responses": {
        200: {
            "model": PredictionResult | EndedPrediction,
            "description": "Final: its result, or why there is none.",
        },
        202: _UNFINISHED,
        **problems(*_LOOKUP_ERRORS),
    },
}

CANCEL: Final[dict[str, Any]] = {
    "summary": "Cancel a prediction",
    "responses": {
        200: {"model": EndedPrediction, "description": "Canceled; it can be looked up as such."},
        **problems(*_LOOKUP_ERRORS, errors.PredictionAlreadyFinal),
    },
}

_OPERATOR_ERRORS: Final = (*_EVERYWHERE, errors.OperatorsOnly, errors.BrokerUnavailable)
_DEAD_LETTER_ERRORS: Final = (*_OPERATOR_ERRORS, NOT_FOUND, errors.DeadLetterNotFound, errors.RecordIncompatible)
_HOW_TO_OPEN: Final = "Send the operators' token: `Authorization: Bearer …`."

DEAD_LETTERS: Final[dict[str, Any]] = {
    "summary": "List dead letters, the latest first",
    "description": _HOW_TO_OPEN,
    "responses": problems(*_OPERATOR_ERRORS, errors.InvalidParameter),
}
DEAD_LETTER: Final[dict[str, Any]] = {
    "summary": "Look at a dead letter: its rows, and how each attempt at them ended",
    "description": _HOW_TO_OPEN,
    "responses": problems(*_DEAD_LETTER_ERRORS),
}
REPLAY: Final[dict[str, Any]] = {
    "summary": "Submit a dead letter's rows as a new prediction",
    "description": _HOW_TO_OPEN,
    "status_code": 202,
    "responses": {
        202: {**_UNFINISHED, **_LINKS},
        **problems(*_DEAD_LETTER_ERRORS, errors.InvalidRows, errors.BacklogFull, errors.ModelUnknown),
    },
}
DISCARD: Final[dict[str, Any]] = {
    "summary": "Forget a dead letter",
    "description": _HOW_TO_OPEN,
    "status_code": 204,
    "responses": problems(*_DEAD_LETTER_ERRORS),
}

MODEL: Final[dict[str, Any]] = {
    "summary": "The model card",
    "responses": problems(*_EVERYWHERE, errors.ModelUnknown, errors.RecordIncompatible),
}
LIVEZ: Final[dict[str, Any]] = {
    "summary": "Is this process to be left alone? It answers, so yes.",
    "responses": problems(*_EVERYWHERE),
}
READYZ: Final[dict[str, Any]] = {
    "summary": "Would a prediction sent here be answered now?",
    "responses": {200: {"model": Ready}, **problems(*_EVERYWHERE, NOT_READY)},
}
METRICS: Final[dict[str, Any]] = {
    "summary": "What Prometheus reads",
    "response_class": Response,
    "responses": {
        200: {
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            }
        },
        **problems(*_EVERYWHERE),
    },
}


def install(app: FastAPI, cluster: ClusterStatus, max_rows: int) -> None:
    """Have the schema say what the gateway checks, and `/docs` show rows that the current model answers."""

    def openapi() -> dict[str, Any]:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        try:
            card = cluster.model.card
        except (errors.ModelUnknown, errors.RecordIncompatible):
            card = None
        _describe_rows(schema, card, max_rows)
        _describe_what_all_share(schema)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_rows(schema: dict[str, Any], card: ModelCard | None, max_rows: int) -> None:
    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    body["schema"] = schemas.rows_schema(card, max_rows)
    if card is not None:  # an example of nothing would not work
        body["example"] = {"data": [list(row) for row in card.example]}


def _describe_what_all_share(schema: dict[str, Any]) -> None:
    components = schema["components"]
    components["schemas"] |= schemas.problem_schemas()
    components["parameters"] = {"RequestId": schemas.REQUEST_ID_PARAMETER}
    components["headers"] = {"RequestId": schemas.REQUEST_ID_HEADER}
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for operations in schema["paths"].values():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]  # the framework's own guess, for any operation with a parameter
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestId"})
            for response in operation["responses"].values():
                response.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/RequestId"}
