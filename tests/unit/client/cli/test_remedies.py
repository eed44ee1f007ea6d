"""The gateway's error messages are rewritten to name command-line options."""

from sepal_client.cli.remedies import reword_problem
from sepal_client.errors import Fault, Problem


def test_parameter_becomes_an_option() -> None:
    fault = Fault("", "Line 1, column id: leave it out, or carry it to the result with ?carry=id.")
    shown = reword_problem(Problem("invalid-rows", "See `errors`, and GET /model.", (fault,)))
    assert shown.detail == 'The rows do not fit the model; "sepal model" shows its columns.'
    assert shown.faults[0].detail == "Line 1, column id: leave it out, or carry it to the result with --carry id."


def test_other_question_marks_stay() -> None:
    assert reword_problem(Problem("any", "Did you mean ?x= or http://h/?a")).detail == "Did you mean ?x= or http://h/?a"
