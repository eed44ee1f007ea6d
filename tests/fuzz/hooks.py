"""Hooks for schemathesis: clients, and failures of its checks that are correct responses of Sepal."""

from typing import Any, Final
from uuid import uuid4

import schemathesis
from schemathesis.core.failures import Failure, ServerError
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import MissingHeaderNotRejected, RejectedPositiveData, UseAfterFree

from api.bulk.formats import FORMATS_BY_MEDIA_TYPE

BY_DESIGN: Final[dict[type[Failure], set[str]]] = {
    # A schema cannot express these: an id expires with time, the pipeline rejects some rows (a decision tree computes
    # in float32, and raises on larger numbers).
    RejectedPositiveData: {"prediction-gone", "rows-rejected"},
    # It expects 401 where 403 says that only operators may do this.
    MissingHeaderNotRejected: {"operators-only"},
    # The client set a deadline that was too short.
    ServerError: {"prediction-expired", "deadline-unreachable"},
    # After DELETE, a prediction can still be looked up, as canceled.
    UseAfterFree: {"canceled"},
}
_BULK_PATHS: Final = ("/predictions", "/results/{prediction_id}")
_TABLES: Final = frozenset(FORMATS_BY_MEDIA_TYPE) - {"application/json"}


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Send each request that is not for operators as a new client.

    Idempotency keys are separate for each client, so two cases may draw the same key for different bodies.
    """
    del kwargs
    if not case.operation.path.startswith("/dead-letters"):
        case.headers["Authorization"] = f"Bearer {uuid4().hex}"


@schemathesis.hook
def filter_failure(
    _: schemathesis.HookContext, failure: Failure, case: schemathesis.Case[Any], response: Response
) -> bool:
    """Return whether a failed check is a fault of Sepal."""
    by_design = BY_DESIGN.get(type(failure), set())
    if isinstance(failure, RejectedPositiveData) and (case.media_type in _TABLES or "carry" in (case.query or {})):
        return False  # for the schema, any bytes are a table, with columns of any names
    if isinstance(failure, RejectedPositiveData) and case.operation.path in _BULK_PATHS:
        by_design = by_design | {"invalid-parameter"}  # some are for bulk predictions or for CSV alone
    if isinstance(failure, UseAfterFree) and case.operation.path.endswith("/events") and response.status_code == 204:
        return False  # a canceled prediction, whose end the client has seen
    return _code_or_status(response) not in by_design


def _code_or_status(response: Response) -> str:
    """Return the code of a problem, or the status of a prediction."""
    if b"event: end" in response.content:
        return "canceled" if b'"status":"canceled"' in response.content else ""
    try:
        body = response.json()
    except ValueError:
        return ""
    return str(body.get("code", body.get("status", ""))) if isinstance(body, dict) else ""
