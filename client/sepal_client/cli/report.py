"""Writes errors and messages to standard error, and JSON to standard output."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from sepal_client.cli.remedies import reword_problem
from sepal_client.cli.terminal import escape_controls
from sepal_client.errors import GatewayError, PredictionEnded, Problem, SepalError

SHOWN_FAULTS: Final = 10
_NOT_FINITE: Final = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def report_error(error: SepalError, *, as_json: bool) -> None:
    """Report the error that ends a command."""
    problem = problem_from_error(error)
    prediction_id = error.prediction_id if isinstance(error, PredictionEnded) else None
    report_problem(problem, prediction_id, as_json=as_json)


def report_problem(problem: Problem, prediction_id: str | None = None, *, as_json: bool) -> None:
    """Report a problem: a line and the first faults below it, or a JSON object."""
    if as_json:
        name = {} if prediction_id is None else {"id": prediction_id}
        sys.stderr.write(f"{format_json({**problem_body(problem), **name})}\n")
        return
    shown = reword_problem(problem)
    print_message(shown.detail)
    for fault in shown.faults[:SHOWN_FAULTS]:
        sys.stderr.write(f"  {escape_controls(str(fault))}\n")
    left = len(problem.faults) - SHOWN_FAULTS
    if left > 0:
        sys.stderr.write(f"  and {left} more; --json lists all\n")


def print_message(message: str) -> None:
    """Write a message to standard error."""
    sys.stderr.write(f"sepal: {escape_controls(message)}\n")
    sys.stderr.flush()


def problem_from_error(error: SepalError) -> Problem:
    """Return the problem of an error; the code of a client error is made from its class name: `wait-timeout`."""
    if isinstance(error, (GatewayError, PredictionEnded)):
        return error.problem
    return Problem(_error_code(type(error).__name__), str(error))


def problem_body(problem: Problem) -> dict[str, Any]:
    """Return a problem as the gateway writes it."""
    errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in problem.faults]
    return {"code": problem.code, "detail": problem.detail, "errors": errors}


def format_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON as the gateway writes it: a number that is not finite is a string."""
    return json.dumps(_replace_non_finite(value), ensure_ascii=False, indent=indent, allow_nan=False)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print JSON to standard output, on one line or indented."""
    sys.stdout.write(f"{format_json(value, indent=indent)}\n")
    sys.stdout.flush()


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, float):
        return _NOT_FINITE.get(str(value), value)
    if isinstance(value, Mapping):
        return {str(name): _replace_non_finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace_non_finite(item) for item in value]
    return value


def _error_code(class_name: str) -> str:
    """Return `wait-timeout` for `WaitTimeout`."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in class_name).lstrip("-")
