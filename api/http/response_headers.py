"""The headers of responses in OpenAPI."""

from typing import Any, Final

from api.http.problems import LONGEST_RETRY_SECONDS
from api.http.schemas import ID_PATTERN


def _header(description: str, pattern: str = "", *, is_required: bool = False) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {"description": description, "required": is_required, "schema": schema}


RETRY_AFTER: Final = {
    "description": "Seconds until the next request should be sent.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1, "maximum": LONGEST_RETRY_SECONDS},
}
REQUEST_ID: Final = _header(
    "The value from the request; absent if that is missing or invalid.",
    "^[!-~]{1,128}$",  # api/http/headers.py
)
LOCATION: Final = _header("The path to poll.", ID_PATTERN.replace("^", "^/results/"), is_required=True)
ALLOW: Final = _header("The methods of this path.", is_required=True)
ACCEPT_ENCODING: Final = _header("The content codings that a body may have.")
CONTENT_RANGE: Final = _header("The bytes that are sent, and the size of the file.", "^bytes ", is_required=True)
VARY: Final = _header("`Accept`", is_required=True)
PREDICTION_HEADERS: Final = {"Preference-Applied": _header("The preferences of `Prefer` that were applied.")}
RESULT_HEADERS: Final = {
    "Server-Timing": _header(
        "Milliseconds in the queue and in the pipeline.", "^queue;dur=[0-9.]+, predict;dur=[0-9.]+$"
    )
}
FILE_HEADERS: Final = {
    "ETag": _header("For an Arrow stream or Parquet file: its tag, for `If-Range` and `If-None-Match`.", '^"[^"]*"$'),
    "Accept-Ranges": _header("For such a file with all rows: it supports `Range`.", "^bytes$"),
}
