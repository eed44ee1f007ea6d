"""What schemathesis has to know of Sepal: who asks, and which answers its checks would take for faults."""

import os
from typing import Any, Final
from uuid import uuid4

import schemathesis
from schemathesis.core.failures import Failure, ServerError
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

TOKEN_VARIABLE: Final = "SEPAL_OPERATOR_TOKEN"  # the gateway's own setting

BY_DESIGN: Final[dict[type[Failure], set[str]]] = {
    # No schema tells these from what is accepted: only the clock knows how old an id is, and only the pipeline
    # what it raises on (a decision tree computes in float32, and takes nothing beyond).
    RejectedPositiveData: {"prediction-gone", "rows-rejected"},
    # A deadline that the client itself set, and that was too short.
    ServerError: {"prediction-expired", "deadline-unreachable"},
    # DELETE cancels, and what is canceled can be looked up as such.
    UseAfterFree: {"canceled"},
}


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Send operators' requests with the token, and each prediction as another client.

    Idempotency keys are a client's own: two cases that draw the same key for different bodies never meet.
    """
    del kwargs
    is_operators = case.operation.path.startswith("/dead-letters")
    token = os.environ.get(TOKEN_VARIABLE, "") if is_operators else uuid4().hex
    case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def filter_failure(
    _: schemathesis.HookContext, failure: Failure, case: schemathesis.Case[Any], response: Response
) -> bool:
    """Keep what is a fault."""
    del case
    return _answer(response) not in BY_DESIGN.get(type(failure), set())


def _answer(response: Response) -> str:
    """The code of a problem, or the status of a prediction."""
    try:
        body = response.json()
    except ValueError:
        return ""
    return str(body.get("code", body.get("status", "")))
