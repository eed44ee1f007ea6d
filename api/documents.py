"""What `/docs` says of each operation, with examples that the served model answers."""

from typing import Any, Final

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from api.problems import MEDIA_TYPE
from api.pulse import Pulse
from shared.card import ModelRef
from shared.errors import ModelUnknown

_ID: Final = "AZ2x6FO3mZk1cXHq0d2TAAAFgq2c7m0eVb4Yt0Wb"


class Problem(BaseModel):
    """RFC 9457; `code` is stable, and `errors` names each wrong place in a body."""

    model_config = ConfigDict(extra="allow")
    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str


class PredictionResult(BaseModel):
    """A succeeded prediction. Minus infinity, the log of a zero probability, is the string `"-Infinity"`."""

    prediction: list[int | float | str | bool]
    log_proba: list[list[float | str]] | None = Field(
        default=None, description="Natural logarithms, a column for each class of GET /model; absent without classes."
    )
    id: str = Field(examples=[_ID])
    status: str = Field(examples=["succeeded"])
    model: ModelRef


class Progress(BaseModel):
    """Rows of a prediction that is not final."""

    done: int
    total: int


class PredictionState(BaseModel):
    """A prediction without a result: `queued`, `running`, `canceled`, or `failed` with its `error`."""

    model_config = ConfigDict(extra="allow")
    id: str = Field(examples=[_ID])
    status: str = Field(examples=["queued"])
    model: ModelRef
    rows: Progress | None = None


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}


_UNFINISHED: Final = {
    "model": PredictionState,
    "description": "Not final yet: poll `Location` after `Retry-After` seconds.",
}
_LOOKUP_PROBLEMS: Final = {
    404: _problem("No such prediction."),
    410: _problem("It was final, and its retention is over."),
    503: _problem("The queue cannot be reached."),
}

PREDICT: Final[dict[str, Any]] = {
    "summary": "Predict rows",
    "description": (
        "Waits a moment for the answer. With `Prefer: respond-async`, or when the wait is over, answers 202 and the "
        "place to poll; `Prefer: wait=N` asks for another wait, in seconds (RFC 7240)."
    ),
    "responses": {
        200: {"model": PredictionResult, "description": "The answer."},
        202: _UNFINISHED,
        400: _problem("The body is not JSON, or a header is not what it should be."),
        413: _problem("The body is too large."),
        415: _problem("The body is not declared as JSON."),
        422: _problem("The rows do not fit the model, or the pipeline rejected them."),
        409: _problem("The first request with this `Idempotency-Key` is still being accepted."),
        503: _problem("The queue cannot be reached, is full or too slow, or has no model yet; nothing was accepted."),
        504: _problem("The deadline passed first."),
    },
    "openapi_extra": {
        "parameters": [
            {
                "name": "Sepal-Deadline",
                "in": "header",
                "required": False,
                "schema": {"type": "number", "exclusiveMinimum": 0},
                "description": "Seconds from now after which there is no use for an answer.",
            },
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "The same key and body lead to the same prediction, however often they are sent.",
            },
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "examples": {
                    "none": {"summary": "wait for the default time", "value": ""},
                    "async": {"summary": "do not wait", "value": "respond-async"},
                    "wait": {"summary": "wait up to five seconds", "value": "wait=5"},
                },
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["data"],
                        "properties": {
                            "data": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "items": {"type": "number"}},
                                "description": "Rows; the columns in the order of GET /model.",
                            }
                        },
                    }
                }
            },
        },
    },
}

GET_RESULT: Final[dict[str, Any]] = {
    "summary": "Look a prediction up",
    "responses": {
        200: {"model": PredictionResult, "description": "Final: its result, or why there is none."},
        202: _UNFINISHED,
        **_LOOKUP_PROBLEMS,
    },
}

CANCEL: Final[dict[str, Any]] = {
    "summary": "Cancel a prediction",
    "responses": {
        200: {"model": PredictionState, "description": "Canceled."},
        409: _problem("It is final already."),
        **_LOOKUP_PROBLEMS,
    },
}

_OPERATOR_PROBLEMS: Final = {
    403: _problem("Not the operators' token, `Authorization: Bearer …`."),
    503: _problem("The queue cannot be reached."),
}
_DEAD_LETTER_PROBLEMS: Final = {404: _problem("No such dead letter."), **_OPERATOR_PROBLEMS}

DEAD_LETTERS: Final[dict[str, Any]] = {
    "summary": "List dead letters, the latest first",
    "responses": _OPERATOR_PROBLEMS,
}
DEAD_LETTER: Final[dict[str, Any]] = {
    "summary": "Look at a dead letter: its rows, and how each attempt at them ended",
    "responses": _DEAD_LETTER_PROBLEMS,
}
REPLAY: Final[dict[str, Any]] = {
    "summary": "Submit a dead letter's rows as a new prediction",
    "status_code": 202,
    "responses": {
        202: _UNFINISHED,
        422: _problem("The model that is served now has other columns."),
        **_DEAD_LETTER_PROBLEMS,
    },
}
DISCARD: Final[dict[str, Any]] = {
    "summary": "Forget a dead letter",
    "status_code": 204,
    "responses": _DEAD_LETTER_PROBLEMS,
}

MODEL: Final[dict[str, Any]] = {
    "summary": "The model card",
    "responses": {503: _problem("No worker has announced a model yet.")},
}
LIVEZ: Final[dict[str, Any]] = {"summary": "Is this process to be left alone? It answers, so yes."}
READYZ: Final[dict[str, Any]] = {
    "summary": "Would a prediction sent here be answered now?",
    "responses": {503: _problem("No; `reasons` says why.")},
}

METRICS: Final[dict[str, Any]] = {
    "summary": "What Prometheus reads",
    "response_class": Response,
    "responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
}


def install(app: FastAPI, pulse: Pulse) -> None:
    """Have `/docs` show rows that the model of the moment answers."""

    def openapi() -> dict[str, Any]:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
        try:
            body["example"] = {"data": [list(row) for row in pulse.card.example]}
        except ModelUnknown:
            pass  # an example of nothing would not work
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
