"""The error responses of the operations in OpenAPI, with the error codes of each HTTP status."""

from collections import defaultdict
from http import HTTPStatus
from typing import Any, Final

from api.http.problems import (
    EXPECTATION_FAILED,
    HEADERS_TOO_LARGE,
    HTTP_VERSION_NOT_SUPPORTED,
    INTERNAL_ERROR,
    MALFORMED_REQUEST,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    NOT_READY,
    REQUEST_LINE_TOO_LONG,
    REQUEST_TIMEOUT,
    STATUS_BY_CODE,
    TOO_MANY_CONNECTIONS,
)
from api.http.response_headers import ACCEPT_ENCODING, ALLOW, CONTENT_RANGE, RETRY_AFTER
from api.http.schemas import Problem, schema_reference
from shared.errors import SepalError
from shared.names import FailureCode

_STATUS_AND_MEANING: Final[dict[str, tuple[HTTPStatus, str]]] = {
    NOT_FOUND: (HTTPStatus.NOT_FOUND, "No such path."),
    METHOD_NOT_ALLOWED: (HTTPStatus.METHOD_NOT_ALLOWED, "`Allow` lists the methods of this path."),
    NOT_READY: (STATUS_BY_CODE[NOT_READY], "`reasons` lists the causes."),
    INTERNAL_ERROR: (STATUS_BY_CODE[INTERNAL_ERROR], "An unexpected error; the gateway's log has the traceback."),
    MALFORMED_REQUEST: (
        STATUS_BY_CODE[MALFORMED_REQUEST],
        "The request is not HTTP/1.1 as RFC 9110 and RFC 9112 define it.",
    ),
    REQUEST_TIMEOUT: (STATUS_BY_CODE[REQUEST_TIMEOUT], "The headers or the body arrived too slowly."),
    REQUEST_LINE_TOO_LONG: (STATUS_BY_CODE[REQUEST_LINE_TOO_LONG], "The request line is too long."),
    EXPECTATION_FAILED: (STATUS_BY_CODE[EXPECTATION_FAILED], "`Expect` is not `100-continue`."),
    HEADERS_TOO_LARGE: (STATUS_BY_CODE[HEADERS_TOO_LARGE], "The headers or trailers are too large or too many."),
    NOT_IMPLEMENTED: (STATUS_BY_CODE[NOT_IMPLEMENTED], "The method or the transfer coding is unknown."),
    TOO_MANY_CONNECTIONS: (STATUS_BY_CODE[TOO_MANY_CONNECTIONS], "The limit of connections is reached."),
    HTTP_VERSION_NOT_SUPPORTED: (STATUS_BY_CODE[HTTP_VERSION_NOT_SUPPORTED], "The version of HTTP is not 1.x."),
    FailureCode.ROWS_REJECTED: (STATUS_BY_CODE[FailureCode.ROWS_REJECTED], "The pipeline raised on these rows."),
    FailureCode.POISON: (STATUS_BY_CODE[FailureCode.POISON], "Every attempt at these rows alone crashed or timed out."),
    FailureCode.MODEL_CHANGED: (STATUS_BY_CODE[FailureCode.MODEL_CHANGED], "The workers now serve another artifact."),
}

_HEADERS: Final[dict[HTTPStatus, dict[str, Any]]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: {"Allow": ALLOW},
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {"Accept-Encoding": ACCEPT_ENCODING},
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: {"Content-Range": CONTENT_RANGE},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": RETRY_AFTER},
}


def problem_responses(*causes: type[SepalError] | str) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of an operation, by HTTP status."""
    by_status: dict[HTTPStatus, dict[str, str]] = defaultdict(dict)
    for cause in causes:
        if isinstance(cause, str):
            status, meaning = _STATUS_AND_MEANING[cause]
            by_status[status][str(cause)] = meaning
        else:
            by_status[STATUS_BY_CODE[cause.code]][cause.code] = (cause.__doc__ or "").partition("\n")[0]
    return {status.value: _problem_response(status, codes) for status, codes in sorted(by_status.items())}


def _problem_response(status: HTTPStatus, codes: dict[str, str]) -> dict[str, Any]:
    narrowed = {"status": {"const": status.value}, "code": {"enum": sorted(codes)}}
    schema = schema_reference(Problem.__name__) | {"properties": narrowed}
    response: dict[str, Any] = {
        "description": "\n\n".join(f"`{code}`: {meaning}" for code, meaning in sorted(codes.items())),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    return response | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


PROTOCOL_ERRORS: Final = problem_responses(
    REQUEST_TIMEOUT,
    REQUEST_LINE_TOO_LONG,
    EXPECTATION_FAILED,
    HEADERS_TOO_LARGE,
    NOT_IMPLEMENTED,
    HTTP_VERSION_NOT_SUPPORTED,
)
"""The errors of the HTTP protocol, whose statuses no operation lists."""
