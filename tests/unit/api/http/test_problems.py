"""Every error has an HTTP status, and `shared/errors.py` lists every error in its tree."""

from collections.abc import Iterator

from api.http.problems import INTERNAL_ERROR, NOT_READY, STATUS
from shared import errors
from shared.names import FailureCode


def all_errors(root: type[errors.SepalError]) -> Iterator[type[errors.SepalError]]:
    for error in root.__subclasses__():
        yield error
        yield from all_errors(error)


def test_every_code_sent_to_a_client_has_a_status() -> None:
    worker_only = set(all_errors(errors.ArtifactError))
    codes = {error.code for error in set(all_errors(errors.SepalError)) - worker_only if hasattr(error, "code")}
    assert codes | set(FailureCode) | {NOT_READY, INTERNAL_ERROR} == set(STATUS)


def test_error_tree_lists_every_error() -> None:
    assert errors.__doc__ is not None
    for error in all_errors(errors.SepalError):
        assert f" {error.__name__}" in errors.__doc__
