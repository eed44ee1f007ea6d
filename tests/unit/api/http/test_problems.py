"""Every error has an HTTP status, and `shared/errors.py` lists every error in its tree."""

from collections.abc import Iterator

from api.http import problems
from api.http.problems import INTERNAL_ERROR, NOT_READY, STATUS_BY_CODE
from shared import errors
from shared.names import FailureCode

PROTOCOL = {
    problems.MALFORMED_REQUEST: 400,
    problems.REQUEST_TIMEOUT: 408,
    problems.REQUEST_LINE_TOO_LONG: 414,
    problems.EXPECTATION_FAILED: 417,
    problems.HEADERS_TOO_LARGE: 431,
    problems.NOT_IMPLEMENTED: 501,
    problems.TOO_MANY_CONNECTIONS: 503,
    problems.HTTP_VERSION_NOT_SUPPORTED: 505,
}
"""The codes of refusals that no error class has: the request does not reach the application."""


def all_errors(root: type[errors.SepalError]) -> Iterator[type[errors.SepalError]]:
    for error in root.__subclasses__():
        yield error
        yield from all_errors(error)


def test_every_code_sent_to_a_client_has_a_status() -> None:
    worker_only = set(all_errors(errors.ArtifactError))
    codes = {error.code for error in set(all_errors(errors.SepalError)) - worker_only if hasattr(error, "code")}
    assert codes | set(FailureCode) | {NOT_READY, INTERNAL_ERROR} | set(PROTOCOL) == set(STATUS_BY_CODE)
    assert {code: STATUS_BY_CODE[code].value for code in PROTOCOL} == PROTOCOL


def test_error_tree_lists_every_error() -> None:
    assert errors.__doc__ is not None
    for error in all_errors(errors.SepalError):
        assert f" {error.__name__}" in errors.__doc__
