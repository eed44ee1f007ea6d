"""Errors with which the protocol refuses a request before it reaches the application."""

from http import HTTPStatus
from typing import Final

from api.http.problems import MALFORMED_REQUEST, STATUS_BY_CODE, ProblemResponse
from shared import errors

_RETRY_AFTER_SECONDS: Final = "1"


class Refused(Exception):
    """The request, or the connection, is refused; the connection is closed after the response."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def response(self) -> ProblemResponse:
        """Return the error response, with `Retry-After` if the gateway is full."""
        status = STATUS_BY_CODE[self.code]
        headers = {"Connection": "close"}
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = _RETRY_AFTER_SECONDS
        return ProblemResponse(status, self.code, self.detail, headers)


def malformed_request(detail: str) -> Refused:
    """Return the error for a request that RFC 9110 or RFC 9112 does not allow."""
    return Refused(MALFORMED_REQUEST, detail)


def body_too_large() -> Refused:
    """Return the error for a body that is larger than its limit."""
    return Refused(errors.BodyTooLarge.code, errors.BodyTooLarge.detail)
