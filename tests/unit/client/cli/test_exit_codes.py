"""Every error has an exit code, and the help documents every exit code."""

import inspect
import re

import pytest

from sepal_client import errors
from sepal_client.cli.exits import EXIT_CODE_BY_ERROR, EXIT_CODE_MEANINGS, ExitCode, exit_code
from sepal_client.cli.manual import OVERVIEW

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.SepalError)]


def test_every_kind_of_error_has_an_exit_code() -> None:
    missing = [
        kind for kind in KINDS if kind is not errors.SepalError and not EXIT_CODE_BY_ERROR.keys() & set(kind.__mro__)
    ]
    assert missing in ([], [errors.GatewayError])


def test_help_lists_every_exit_code_with_its_meaning() -> None:
    _, _, listed = OVERVIEW.partition("Exit codes:\n")
    found = {int(code): text for code, text in re.findall(r"^  (\d+) +(.+)$", listed, re.MULTILINE)}
    assert found == {code.value: EXIT_CODE_MEANINGS[code] for code in ExitCode}


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (422, "invalid-rows", 3),
        (409, "prediction-already-final", 3),
        (503, "backlog-full", 4),
        (500, "internal-error", 4),
        (404, "prediction-not-found", 6),
        (404, "dead-letter-not-found", 6),
        (410, "prediction-gone", 6),
        (403, "operators-only", 7),
    ],
)
def test_refusals_of_the_gateway_have_the_documented_codes(status: int, code: str, expected: int) -> None:
    kind = errors.error_class(code, status)
    assert issubclass(kind, errors.GatewayError)
    assert exit_code(kind(status, errors.Problem(code, ""))) == expected


def test_prediction_without_a_result_has_its_own_code() -> None:
    assert exit_code(errors.PredictionExpired("id", errors.Problem("prediction-expired", ""))) == 5


def test_full_disk_is_no_matter_of_the_gateway() -> None:
    error = errors.DownloadIncomplete("scored.csv cannot be written: No space left on device. No file is left.")
    assert exit_code(error) == 4
    error.__cause__ = OSError(28, "No space left on device")
    assert exit_code(error) == 1
