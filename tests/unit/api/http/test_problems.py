"""Every error has a status, and the error file draws all of them."""

from collections.abc import Iterator

from api.http.problems import INTERNAL_ERROR, NOT_READY, STATUS
from shared import errors
from shared.names import FailureCode


def all_errors(root: type[errors.SepalError]) -> Iterator[type[errors.SepalError]]:
    for error in root.__subclasses__():
        yield error
        yield from all_errors(error)


def test_every_code_that_can_reach_a_client_has_a_status() -> None:
    of_workers_alone = set(all_errors(errors.ArtifactError))
    codes = {error.code for error in set(all_errors(errors.SepalError)) - of_workers_alone if hasattr(error, "code")}
    assert codes | set(FailureCode) | {NOT_READY, INTERNAL_ERROR} == set(STATUS)


def test_error_file_draws_its_whole_tree() -> None:
    assert errors.__doc__ is not None
    for error in all_errors(errors.SepalError):
        assert f" {error.__name__}" in errors.__doc__
