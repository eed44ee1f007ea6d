"""Errors on standard error: one line with the remedy, the first faults below it; or one JSON object."""

import json

import pytest

from sepal_client.cli import report
from sepal_client.errors import Fault, GatewayUnreachable, InvalidInput, PredictionFailed, Problem, RequestRefused

FAULTS = tuple(Fault(f"/data/{row}/year", "An integer is needed.") for row in range(12))
REFUSED = RequestRefused(422, Problem("rows-rejected", "12 rows do not fit the model.", FAULTS))


def test_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report.report_error(GatewayUnreachable("No gateway answers: start one."), as_json=False)
    assert capsys.readouterr().err == "sepal: No gateway answers: start one.\n"


def test_first_ten_faults_are_listed_below_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    report.report_error(REFUSED, as_json=False)
    head, *faults, last = capsys.readouterr().err.splitlines()
    assert head == "sepal: 12 rows do not fit the model."
    assert faults == [f"  /data/{row}/year: An integer is needed." for row in range(10)]
    assert last == "  and 2 more; --json lists all"


def test_json_error_has_code_detail_and_all_faults(capsys: pytest.CaptureFixture[str]) -> None:
    report.report_error(REFUSED, as_json=True)
    written = capsys.readouterr()
    assert written.out == ""
    assert json.loads(written.err) == {
        "code": "rows-rejected",
        "detail": "12 rows do not fit the model.",
        "errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in FAULTS],
    }


def test_json_error_of_the_client_has_a_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    report.report_error(InvalidInput("There is no file x.csv."), as_json=True)
    assert json.loads(capsys.readouterr().err)["code"] == "invalid-input"


def test_json_error_of_a_prediction_has_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    report.report_error(PredictionFailed("AaIG", Problem("poison", "The rows crashed workers.")), as_json=True)
    assert json.loads(capsys.readouterr().err)["id"] == "AaIG"


def test_error_does_not_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem("rows-rejected", "\x1b[2Jcleared\nsecond", (Fault("/data/0/\x1b]0;x\x07", "é is fine"),))
    report.report_problem(problem, as_json=False)
    assert capsys.readouterr().err == "sepal: \\x1b[2Jcleared\\nsecond\n  /data/0/\\x1b]0;x\\x07: é is fine\n"


def test_numbers_that_are_not_finite_are_written_as_the_gateway_writes_them() -> None:
    value = {"log_proba": [(0.0, float("-inf"))], "x": float("nan"), "y": float("inf")}
    assert json.loads(report.format_json(value)) == {"log_proba": [[0.0, "-Infinity"]], "x": "NaN", "y": "Infinity"}
