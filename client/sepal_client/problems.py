"""Converts the error responses of a gateway to the client's errors."""

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from sepal_client.errors import GatewayError, GatewayFault, PredictionEnded, Problem, error_class
from sepal_client.progress import read_problem

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_REMEDIES: Final = {
    "not-found": "The gateway has no such path: check that the URL is that of a Sepal gateway, without a path.",
    "method-not-allowed": "The gateway does not support this operation: it may be older than this client.",
}
_SHOWN_CHARACTERS: Final = 200
_REDIRECT_STATUSES: Final = range(300, 400)


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, url: str, idempotency_key: str | None = None
) -> GatewayError | PredictionEnded:
    """Return the error that a response describes.

    Args:
        status: of the response.
        headers: of the response; names are case-insensitive.
        body: of the response.
        url: of the request.
        idempotency_key: of the request.
    """
    problem, prediction_id = _parse_problem(status, headers, body, url)
    kind = error_class(problem.code, status) if problem.code else _error_class_without_code(status)
    if issubclass(kind, PredictionEnded):
        return kind(prediction_id, problem)
    return kind(
        status,
        problem,
        retry_after=parse_retry_after(headers),
        request_id=headers.get("x-request-id"),
        idempotency_key=idempotency_key,
    )


def is_problem(headers: Mapping[str, str]) -> bool:
    """Return whether an error response was written by a gateway rather than by a proxy."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == PROBLEM_MEDIA_TYPE


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` (RFC 9110, section 10.2.3) gives as a number or as a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    at = _parse_date(value)
    if at is None:
        return None
    sent_at = _parse_date(headers.get("date", ""))  # because the clocks may differ
    return max(at - (time.time() if sent_at is None else sent_at), 0.0)


def unexpected_response_error(url: str, status: int, description: str) -> GatewayFault:
    """Return the error for a response that a gateway does not send."""
    detail = (
        f"{url} responded with {status} and {description}: check that it is a Sepal gateway, no older than this client."
    )
    return GatewayFault(status, Problem("", detail))


def _parse_problem(status: int, headers: Mapping[str, str], body: bytes, url: str) -> tuple[Problem, str]:
    if is_problem(headers):
        try:
            document = json.loads(body)
            problem = read_problem(document)
            detail = _REMEDIES.get(problem.code, problem.detail)
            return Problem(problem.code, detail, problem.faults), str(document.get("id", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # handled as a response without a code
    if status in _REDIRECT_STATUSES:
        detail = f"{url} redirects to {headers.get('location', 'another address')}: set the URL to that gateway."
    else:
        text = " ".join(body.decode("utf-8", "replace").split())[:_SHOWN_CHARACTERS]
        detail = f"{url} responded with {status}, but not as a Sepal gateway does: check the URL. {text}".strip()
    return Problem("", detail), ""


def _error_class_without_code(status: int) -> type[GatewayError]:
    """Return the error class of a response that was not written by a gateway."""
    kind = error_class("", status)
    assert issubclass(kind, GatewayError), "a status without a code does not end a prediction"
    return GatewayFault if status in (404, 410) else kind


def _parse_date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError):
        return None
