"""Turns the error responses of a gateway into the client's errors."""

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from sepal_client.errors import GatewayError, GatewayFault, PredictionEnded, Problem, class_of
from sepal_client.progress import read_problem

PROBLEM: Final = "application/problem+json"
_REMEDIES: Final = {
    "not-found": "The gateway has no such path: is the URL that of a Sepal gateway, without a path of its own?",
    "method-not-allowed": "The gateway does not do this: it may be older than this client.",
}
_SHOWN: Final = 200
_REDIRECTS: Final = range(300, 400)


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, url: str, idempotency_key: str | None = None
) -> GatewayError | PredictionEnded:
    """Return the error that a response stands for.

    Args:
        status: of the response.
        headers: of the response, by names in any case.
        body: of the response.
        url: of the request.
        idempotency_key: of the request.
    """
    problem, prediction_id = _read(status, headers, body, url)
    kind = class_of(problem.code, status) if problem.code else _class_without_code(status)
    if issubclass(kind, PredictionEnded):
        return kind(prediction_id, problem)
    return kind(
        status,
        problem,
        retry_after=retry_after(headers),
        request_id=headers.get("x-request-id"),
        idempotency_key=idempotency_key,
    )


def is_problem(headers: Mapping[str, str]) -> bool:
    """Whether a response is an error of a gateway, and not of something in front of it."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == PROBLEM


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    at = _timestamp(value)
    if at is None:
        return None
    sent_at = _timestamp(headers.get("date", ""))  # so that the clocks of both machines may differ
    return max(at - (time.time() if sent_at is None else sent_at), 0.0)


def unexpected(url: str, status: int, what: str) -> GatewayFault:
    """Return the error of a response that no gateway gives."""
    detail = f"{url} answered {status} with {what}: is it a Sepal gateway? It may be older than this client."
    return GatewayFault(status, Problem("", detail))


def _read(status: int, headers: Mapping[str, str], body: bytes, url: str) -> tuple[Problem, str]:
    if is_problem(headers):
        try:
            document = json.loads(body)
            problem = read_problem(document)
            detail = _REMEDIES.get(problem.code, problem.detail)
            return Problem(problem.code, detail, problem.faults), str(document.get("id", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # described as any other response
    if status in _REDIRECTS:
        detail = f"{url} redirects to {headers.get('location', 'another address')}: set the URL to that gateway."
    else:
        text = " ".join(body.decode("utf-8", "replace").split())[:_SHOWN]
        detail = f"{url} answered {status}, and not as a Sepal gateway does: is the URL right? {text}".strip()
    return Problem("", detail), ""


def _class_without_code(status: int) -> type[GatewayError]:
    """Return the class of what something in front of the gateway answers."""
    kind = class_of("", status)
    assert issubclass(kind, GatewayError), "a status alone ends no prediction"
    return GatewayFault if status in (404, 410) else kind


def _timestamp(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError):
        return None
