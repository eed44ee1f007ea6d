"""The operations in OpenAPI; `openapi` adds the parts that depend on the current model."""

from typing import Any, Final

from fastapi import Response

from api.bulk.formats import BINARY_FORMATS, MEDIA_TYPES, Format
from api.http import parameters, response_headers
from api.http.events import EVENT_SCHEMA, EVENT_STREAM_TYPE
from api.http.problem_schemas import problem_responses
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
)
from api.http.service_status import EXAMPLES
from shared import errors
from shared.card import ModelCard
from shared.names import FailureCode

SECURITY_SCHEMES: Final = {"operator": {"type": "http", "scheme": "bearer", "description": "`SEPAL_OPERATOR_TOKEN`."}}

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
_ACCEPTANCE_ERRORS: Final = (
    *_COMMON_ERRORS,
    errors.MalformedJson,
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
    errors.DeadlineUnreachable,
    errors.ModelUnknown,
    errors.RecordIncompatible,
    errors.PredictionGone,
)
_UNFINISHED_RESPONSE: Final[dict[str, Any]] = {
    "model": UnfinishedPrediction,
    "description": "Not final yet: poll `Location` after `Retry-After` seconds.",
    "headers": {"Location": response_headers.LOCATION, "Retry-After": response_headers.RETRY_AFTER},
}
_LINKS: Final = {
    "links": {
        name: {
            "operationId": operation,
            "parameters": {"prediction_id": "$response.body#/id"},
            "description": description,
        }
        for name, operation, description in (
            ("GetResult", "get_result", "Look up the prediction."),
            ("Cancel", "cancel_prediction", "Cancel the prediction."),
        )
    }
}

PREDICT: Final[dict[str, Any]] = {
    "summary": "Predict rows",
    "description": (
        "Each output in the response has one item for each row. Waits for the result for a limited time. With "
        "`Prefer: respond-async`, or if the wait ends first, the status is 202, and `Location` is the path to poll. "
        "`Prefer: wait=N` sets the wait to N seconds (RFC 7240)."
    ),
    "responses": {
        200: {
            "model": PredictionResult,
            "description": "The result.",
            "headers": response_headers.PREDICTION_HEADERS | response_headers.RESULT_HEADERS,
            **_LINKS,
        },
        202: {
            **_UNFINISHED_RESPONSE,
            "headers": _UNFINISHED_RESPONSE["headers"] | response_headers.PREDICTION_HEADERS,
            **_LINKS,
        },
        **problem_responses(
            *_ACCEPTANCE_ERRORS,
            errors.TooManyWaiters,
            errors.BacklogFull,
            errors.PredictionCanceled,
            errors.PredictionExpired,
            FailureCode.ROWS_REJECTED,
            FailureCode.POISON,
            FailureCode.MODEL_CHANGED,
        ),
    },
    "openapi_extra": {
        "parameters": [parameters.META, *parameters.PREDICT_HEADERS],
        "requestBody": {"required": True, "content": {MEDIA_TYPES[Format.JSON]: {}}},  # filled by `openapi`
    },
}

_BINARY_CONTENT: Final = {"schema": {"type": "string", "format": "binary"}}
# CSV is the last: of several binary bodies, a client that openapi-python-client generates sends the last.
_TABLE_CONTENT: Final = {
    MEDIA_TYPES[form]: _BINARY_CONTENT for form in (Format.NDJSON, Format.ARROW, Format.PARQUET, Format.CSV)
}
_FILE_CONTENT: Final = {MEDIA_TYPES[form]: _BINARY_CONTENT for form in BINARY_FORMATS}

UPLOAD: Final[dict[str, Any]] = {
    "summary": "Upload rows for a bulk prediction",
    "description": (
        "Stores any number of rows, and returns the prediction. `Content-Type` is the format of the body: CSV, NDJSON, "
        "an Arrow stream, Parquet, or JSON as for `POST /predict`. `Content-Encoding` may be gzip or zstd."
    ),
    "status_code": 202,
    "responses": {
        202: {**_UNFINISHED_RESPONSE, "model": BulkPrediction, **_LINKS},
        **problem_responses(
            *_ACCEPTANCE_ERRORS, errors.MalformedUpload, errors.ObjectStoreUnavailable, errors.StorageFull
        ),
    },
    "openapi_extra": {
        "parameters": [*parameters.UPLOAD_PARAMETERS, *parameters.UPLOAD_HEADERS],
        "requestBody": {
            "required": True,
            "content": {MEDIA_TYPES[Format.JSON]: {}, **_TABLE_CONTENT},
        },  # filled by `openapi`
    },
}

PREDICTIONS: Final[dict[str, Any]] = {
    "summary": "List your bulk predictions, the latest first",
    "description": "Those submitted with the credentials of this request or, without credentials, from its address.",
    "responses": {
        200: {"model": BulkPage},
        **problem_responses(
            *_COMMON_ERRORS, errors.InvalidParameter, errors.BrokerUnavailable, errors.RecordIncompatible
        ),
    },
}

GET_RESULT: Final[dict[str, Any]] = {
    "summary": "Look up a prediction",
    "description": (
        "Rows of a bulk prediction are returned in the format that `Accept` prefers; final Arrow streams and Parquet "
        "files have an `ETag` and support `Range`."
    ),
    "responses": {
        200: {
            # Ordered so that the first model that a response matches is the most specific.
            "model": BulkResult | BulkPrediction | PredictionResult | EndedPrediction,
            "description": "Final: the result, or the reason why there is none.",
            "content": _TABLE_CONTENT,
            "headers": response_headers.RESULT_HEADERS | response_headers.FILE_HEADERS,
        },
        202: {**_UNFINISHED_RESPONSE, "model": BulkPrediction | UnfinishedPrediction},
        206: {
            "description": "The part of the file that `Range` requests.",
            "content": _FILE_CONTENT,
            "headers": response_headers.FILE_HEADERS | {"Content-Range": response_headers.CONTENT_RANGE},
        },
        304: {
            "description": "The client has the file: `If-None-Match` contains its `ETag`.",
            "headers": response_headers.FILE_HEADERS,
        },
        **problem_responses(
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
    "description": "Sends `progress` events, and an `end` event when it is final; their data is the status as JSON.",
    "response_class": Response,
    "responses": {
        200: {"content": {EVENT_STREAM_TYPE: {"itemSchema": EVENT_SCHEMA}}},
        204: {"description": "The client has received the `end` event: `Last-Event-ID` is its id."},
        **problem_responses(*_LOOKUP_ERRORS, errors.TooManyWaiters),
    },
    "openapi_extra": {"parameters": [parameters.LAST_EVENT_ID]},
}

CANCEL: Final[dict[str, Any]] = {
    "summary": "Cancel a prediction",
    "responses": {
        200: {
            "model": BulkPrediction | EndedPrediction,
            "description": "Canceled; a look-up then returns the status `canceled`.",
        },
        **problem_responses(*_LOOKUP_ERRORS, errors.PredictionAlreadyFinal),
    },
}

_OPERATOR_ERRORS: Final = (*_COMMON_ERRORS, errors.OperatorsOnly, errors.BrokerUnavailable)
_DEAD_LETTER_ERRORS: Final = (*_OPERATOR_ERRORS, NOT_FOUND, errors.DeadLetterNotFound, errors.RecordIncompatible)
_AUTHORIZATION: Final[dict[str, Any]] = {
    "description": "Requires the operator token: `Authorization: Bearer …`.",
    "openapi_extra": {"security": [{"operator": []}]},
}

DEAD_LETTERS: Final[dict[str, Any]] = {
    "summary": "List dead letters, the latest first",
    **_AUTHORIZATION,
    "responses": problem_responses(*_OPERATOR_ERRORS, errors.InvalidParameter),
}
DEAD_LETTER: Final[dict[str, Any]] = {
    "summary": "Get a dead letter: its rows, and how each attempt ended",
    **_AUTHORIZATION,
    "responses": problem_responses(*_DEAD_LETTER_ERRORS),
}
REPLAY: Final[dict[str, Any]] = {
    "summary": "Replay a dead letter: submit its rows as a new prediction",
    **_AUTHORIZATION,
    "status_code": 202,
    "responses": {
        202: {**_UNFINISHED_RESPONSE, **_LINKS},
        **problem_responses(*_DEAD_LETTER_ERRORS, errors.InvalidRows, errors.BacklogFull, errors.ModelUnknown),
    },
}
DISCARD: Final[dict[str, Any]] = {
    "summary": "Discard a dead letter",
    **_AUTHORIZATION,
    "status_code": 204,
    "responses": problem_responses(*_DEAD_LETTER_ERRORS),
}

MODEL: Final[dict[str, Any]] = {
    "summary": "Get the model card",
    "description": "Returns JSON or, if `Accept` prefers `text/html`, a page with a form that sends one row.",
    "response_model": ModelCard,
    "responses": {
        200: {
            "content": {"text/html": {"schema": {"type": "string"}}},
            "headers": {"Vary": response_headers.VARY},
        },
        **problem_responses(*_COMMON_ERRORS, errors.ModelUnknown, errors.RecordIncompatible),
    },
}
STATUS: Final[dict[str, Any]] = {
    "summary": "Get the status of the service: workers, backlog and rates",
    "description": (
        "The gateway reads the status once a second. The status code is 200 even if the broker is unavailable: `ready` "
        "is true if a prediction sent now would be answered."
    ),
    "responses": {
        200: {"content": {MEDIA_TYPES[Format.JSON]: {"examples": EXAMPLES}}},
        **problem_responses(*_COMMON_ERRORS),
    },
}
LIVEZ: Final[dict[str, Any]] = {
    "summary": "Liveness: this process responds to requests",
    "responses": problem_responses(*_COMMON_ERRORS),
}
READYZ: Final[dict[str, Any]] = {
    "summary": "Readiness: a prediction sent now would be answered",
    "responses": {200: {"model": Ready}, **problem_responses(*_COMMON_ERRORS, NOT_READY)},
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
        **problem_responses(*_COMMON_ERRORS),
    },
}
