"""Rewrites the gateway's error messages for the command line: options of `sepal` instead of HTTP parameters."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sepal_client.errors import Fault, Problem

_DETAIL_BY_CODE: Final[Mapping[str, str]] = {
    "invalid-rows": 'The rows do not fit the model; "sepal model" shows its columns.',
    "invalid-deadline": "--deadline must be a number of seconds greater than 0.",
    "operators-only": "The operator token is wrong: set SEPAL_OPERATOR_TOKEN to that of the gateway.",
    "not-acceptable": "This result is not available in this format: use --to json for few rows, --to ndjson for many.",
    "too-many-waiters": "Too many requests are waiting for results; nothing was accepted: try again later.",
}
_PARAMETER: Final = re.compile(r"\?([a-z_]+)=(?=\S)")


def reword_problem(problem: Problem) -> Problem:
    """Return the problem with messages that name the options and commands of `sepal`."""
    faults = tuple(Fault(fault.pointer, _replace_parameters(fault.detail)) for fault in problem.faults)
    return replace(
        problem, detail=_DETAIL_BY_CODE.get(problem.code, _replace_parameters(problem.detail)), faults=faults
    )


def _replace_parameters(text: str) -> str:
    """Replace `?carry=id` with `--carry id`."""
    return _PARAMETER.sub(lambda found: f"--{found[1].replace('_', '-')} ", text)
