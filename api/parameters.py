"""What requests hold, as the schema describes them: headers, ids in paths, and rows."""

import sys
from typing import Annotated, Any, Final

from fastapi import Path

from api import deadline, idempotency
from api.answers import ID_PATTERN
from shared.card import ModelCard

BATCH_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{20}(\.[0-9]+)?$"  # shared/ids.py

# The pattern is in the schema alone: a text that cannot be an id is one that is not found.
PredictionIdText = Annotated[str, Path(description="A prediction's id.", json_schema_extra={"pattern": ID_PATTERN})]
BatchIdText = Annotated[
    str,
    Path(description="A dead letter's id.", json_schema_extra={"pattern": BATCH_ID_PATTERN}),
]


def _header(name: str, description: str, pattern: str = "", **more: Any) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description, **more}


REQUEST_ID: Final = _header(
    "X-Request-ID",
    "Is in the logs of the gateway and the worker that answer, and in the response: up to 128 printable ASCII "
    "characters; any other text is ignored.",
)
PREDICT_HEADERS: Final = [
    _header(
        "Sepal-Deadline",
        "Seconds from now after which there is no use for an answer, such as 2.5.",
        pattern=deadline.PATTERN,
    ),
    _header(
        "Idempotency-Key",
        "The same key and body lead to the same prediction, however often they are sent: a string of 1 to 255 "
        "printable ASCII characters, in quotes.",
        pattern=idempotency.PATTERN,
    ),
    _header(
        "Prefer",
        "RFC 7240: `wait=N` and `respond-async`. Whatever else it says is ignored.",
        examples={
            "none": {"summary": "wait for the default time", "value": ""},
            "async": {"summary": "do not wait", "value": "respond-async"},
            "wait": {"summary": "wait up to five seconds", "value": "wait=5"},
        },
    ),
]


def rows_schema(card: ModelCard | None, max_rows: int) -> dict[str, Any]:
    """Describe the body of `POST /predict`: exactly what the gateway accepts, while it knows a card."""
    number = {"type": "number", "minimum": -sys.float_info.max, "maximum": sys.float_info.max}
    row: dict[str, Any] = {"type": "array", "items": number}
    description = "Rows; the columns in the order of GET /model."
    if card is not None:
        n_columns = len(card.features)
        row |= {"minItems": n_columns, "maxItems": n_columns}
        description = "Rows; the columns of each: " + ", ".join(feature.name for feature in card.features) + "."
    data = {"type": "array", "minItems": 1, "maxItems": max_rows, "items": row, "description": description}
    return {"type": "object", "required": ["data"], "properties": {"data": data}, "additionalProperties": False}
