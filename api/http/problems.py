"""The table from error codes to HTTP statuses, and responses of type `application/problem+json` (RFC 9457)."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from api.http.security import NO_STORE, NOSNIFF
from shared import errors
from shared.names import FailureCode

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
LONGEST_RETRY_SECONDS: Final = 60
NOT_READY: Final = "not-ready"
INTERNAL_ERROR: Final = "internal-error"
NOT_FOUND: Final = "not-found"
METHOD_NOT_ALLOWED: Final = "method-not-allowed"
MALFORMED_REQUEST: Final = "malformed-request"
REQUEST_TIMEOUT: Final = "request-timeout"
REQUEST_LINE_TOO_LONG: Final = "request-line-too-long"
EXPECTATION_FAILED: Final = "expectation-failed"
HEADERS_TOO_LARGE: Final = "headers-too-large"
NOT_IMPLEMENTED: Final = "not-implemented"
TOO_MANY_CONNECTIONS: Final = "too-many-connections"
HTTP_VERSION_NOT_SUPPORTED: Final = "http-version-not-supported"

RetryAfter = Callable[[], int]
"""Returns the seconds after which a refused client should try again."""

STATUS_BY_CODE: Final[dict[str, HTTPStatus]] = {
    errors.MalformedJson.code: HTTPStatus.BAD_REQUEST,
    errors.UnsupportedContentType.code: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UnsupportedContentCoding.code: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.BodyTooLarge.code: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooManyBodies.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BodyNotRead.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TooManyWaiters.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.InvalidRows.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidParameter.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidDeadline.code: HTTPStatus.BAD_REQUEST,
    errors.InvalidIdempotencyKey.code: HTTPStatus.BAD_REQUEST,
    errors.IdempotencyKeyReused.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.IdempotencyKeyInUse.code: HTTPStatus.CONFLICT,
    errors.BrokerUnavailable.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BacklogFull.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DeadlineUnreachable.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ObjectStoreUnavailable.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFull.code: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.MalformedUpload.code: HTTPStatus.BAD_REQUEST,
    errors.NotAcceptable.code: HTTPStatus.NOT_ACCEPTABLE,
    errors.RangeNotSatisfiable.code: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    errors.ModelUnknown.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.OperatorsOnly.code: HTTPStatus.FORBIDDEN,
    errors.NoWorker.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Stalled.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ResultNotWritten.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RecordIncompatible.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.PredictionNotFound.code: HTTPStatus.NOT_FOUND,
    errors.PredictionGone.code: HTTPStatus.GONE,
    errors.PredictionAlreadyFinal.code: HTTPStatus.CONFLICT,
    errors.PredictionCanceled.code: HTTPStatus.CONFLICT,
    errors.PredictionExpired.code: HTTPStatus.GATEWAY_TIMEOUT,  # FailureCode.EXPIRED has the same code
    errors.DeadLetterNotFound.code: HTTPStatus.NOT_FOUND,
    NOT_READY: HTTPStatus.SERVICE_UNAVAILABLE,
    INTERNAL_ERROR: HTTPStatus.INTERNAL_SERVER_ERROR,
    MALFORMED_REQUEST: HTTPStatus.BAD_REQUEST,
    REQUEST_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    REQUEST_LINE_TOO_LONG: HTTPStatus.REQUEST_URI_TOO_LONG,
    EXPECTATION_FAILED: HTTPStatus.EXPECTATION_FAILED,
    HEADERS_TOO_LARGE: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    NOT_IMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    TOO_MANY_CONNECTIONS: HTTPStatus.SERVICE_UNAVAILABLE,
    HTTP_VERSION_NOT_SUPPORTED: HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    FailureCode.ROWS_REJECTED: HTTPStatus.UNPROCESSABLE_ENTITY,
    FailureCode.POISON: HTTPStatus.INTERNAL_SERVER_ERROR,
    FailureCode.MODEL_CHANGED: HTTPStatus.SERVICE_UNAVAILABLE,
    FailureCode.ROWS_LOST: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class ProblemResponse(JSONResponse):
    """An error response."""

    media_type = MEDIA_TYPE

    def __init__(
        self, status: HTTPStatus, code: str, detail: str, headers: dict[str, str] | None = None, **more_members: Any
    ) -> None:
        content = {"type": "about:blank", "title": status.phrase, "status": status.value, "code": code}
        super().__init__({**content, "detail": detail, **more_members}, status.value, headers)
        self.raw_headers += (NOSNIFF, NO_STORE)


def not_ready_response(reasons: list[errors.SepalError], retry_after: int) -> ProblemResponse:
    """Return the response of `/readyz` with the reasons why the gateway is not ready."""
    return ProblemResponse(
        STATUS_BY_CODE[NOT_READY],
        NOT_READY,
        "Predictions sent to this gateway would not be answered now: see `reasons`.",
        {"Retry-After": str(retry_after)},
        reasons=[{"code": reason.code, "detail": str(reason)} for reason in reasons],
    )


def to_problem_response(error: Exception, retry_after: RetryAfter) -> ProblemResponse:
    """Convert an error to a response; an unexpected error is logged, and its text is not sent to the client."""
    if not isinstance(error, errors.SepalError):
        log.error("failed to handle a request", exc_info=error)
        detail = "The gateway failed to handle the request; its log has the traceback."
        return ProblemResponse(STATUS_BY_CODE[INTERNAL_ERROR], INTERNAL_ERROR, detail)
    status = STATUS_BY_CODE[error.code]
    headers = {"Vary": "Prefer"}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        seconds = error.retry_after_seconds if isinstance(error, errors.DeadlineUnreachable) else None
        headers["Retry-After"] = str(min(seconds or retry_after(), LONGEST_RETRY_SECONDS))
    if isinstance(error, errors.UnsupportedContentCoding):
        headers["Accept-Encoding"] = error.accepted  # RFC 9110, section 15.5.16
    if isinstance(error, errors.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.n_bytes}"
    return ProblemResponse(status, error.code, str(error), headers, **_extension_members(error))


def add_exception_handlers(app: FastAPI, retry_after: RetryAfter, list_methods: Callable[[Scope], list[str]]) -> None:
    """Register exception handlers, so that FastAPI responds to every error with a problem response.

    Args:
        app: the gateway's FastAPI application.
        retry_after: see `RetryAfter`.
        list_methods: returns the methods that a path allows.
    """

    @app.exception_handler(errors.SepalError)
    @app.exception_handler(Exception)
    async def handle_sepal_error(_: Request, error: Exception) -> ProblemResponse:
        return to_problem_response(error, retry_after)

    @app.exception_handler(RequestValidationError)
    async def handle_invalid_parameter(_: Request, error: RequestValidationError) -> ProblemResponse:
        faults = [f"`{fault['loc'][-1]}`: {fault['msg']}" for fault in error.errors()]
        return to_problem_response(errors.InvalidParameter("; ".join(faults) + "."), retry_after)

    @app.exception_handler(HTTPException)
    async def handle_http_exception(request: Request, error: HTTPException) -> ProblemResponse:
        status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = list_methods(request.scope)
            if not allowed:  # static files refuse the method before they look for the file
                return not_found_response()
            headers["Allow"] = ", ".join(allowed)
        return ProblemResponse(status, status.phrase.lower().replace(" ", "-"), status.phrase, headers)


def not_found_response() -> ProblemResponse:
    """Return the response to a request for an unknown path."""
    return ProblemResponse(HTTPStatus.NOT_FOUND, NOT_FOUND, HTTPStatus.NOT_FOUND.phrase)


def _extension_members(error: errors.SepalError) -> dict[str, Any]:
    if isinstance(error, (errors.InvalidRows, errors.MalformedUpload)) and error.faults:
        return {"errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]}
    if isinstance(error, (errors.PredictionFailed, errors.PredictionCanceled, errors.PredictionExpired)):
        return {"id": error.prediction_id}
    return {}
