"""Says what the gateway says in the words of the command line: options instead of parameters of its interface."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sepal_client.errors import Fault, Problem

_DETAILS: Final[Mapping[str, str]] = {
    "invalid-rows": 'The rows do not fit the model; "sepal model" shows what it takes.',
    "invalid-deadline": "--deadline takes a number of seconds greater than 0.",
    "operators-only": "The operators' token is wrong: set SEPAL_OPERATOR_TOKEN to that of the gateway.",
    "not-acceptable": "The result of a few rows is JSON: use --to json. That of many rows is not: use --to ndjson.",
    "too-many-waiters": "Too many requests wait for their results: nothing was accepted; try again later.",
}
_PARAMETER: Final = re.compile(r"\?([a-z_]+)=(?=\S)")


def for_people(problem: Problem) -> Problem:
    """Return the problem with the options and commands of `sepal` that solve it."""
    faults = tuple(Fault(fault.pointer, _with_options(fault.detail)) for fault in problem.faults)
    return replace(problem, detail=_DETAILS.get(problem.code, _with_options(problem.detail)), faults=faults)


def _with_options(text: str) -> str:
    """Replace `?carry=id` with `--carry id`."""
    return _PARAMETER.sub(lambda found: f"--{found[1].replace('_', '-')} ", text)
