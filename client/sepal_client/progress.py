"""The state and progress of a prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from sepal_client.errors import (
    Fault,
    PredictionCanceled,
    PredictionEnded,
    PredictionExpired,
    PredictionFailed,
    Problem,
)


class State(str, Enum):
    """The state of a prediction; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    def __str__(self) -> str:
        return self.value

    @property
    def is_final(self) -> bool:
        """Whether the state no longer changes."""
        return self not in (State.QUEUED, State.RUNNING)


_ERROR_BY_STATE: Final[Mapping[State, type[PredictionEnded]]] = {
    State.FAILED: PredictionFailed,
    State.CANCELED: PredictionCanceled,
    State.EXPIRED: PredictionExpired,
}
_PROBLEM_BY_STATE: Final = {
    State.FAILED: Problem("failed", "The prediction failed."),
    State.CANCELED: Problem("prediction-canceled", "The prediction was canceled: submit the rows again."),
    State.EXPIRED: Problem("prediction-expired", "The deadline passed before there was a result: allow more time."),
}


@dataclass(frozen=True)
class Progress:
    """State and progress of a prediction at one moment."""

    id: str
    state: State
    rows_done: int
    rows_total: int
    rows_bad: int = 0
    """Rows that are done, but without a result."""
    position: int | None = None
    """The number of bulk predictions that were accepted earlier and are not final; None if this one is final."""
    rows_per_second: float | None = None
    seconds_left: int | None = None
    """At the current rate."""
    error: Problem | None = None
    """The reason of a failure."""

    @property
    def is_final(self) -> bool:
        """Whether the state no longer changes."""
        return self.state.is_final

    def raise_if_ended(self) -> None:
        """Raise the error of a prediction that is final without a result.

        Raises:
            PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
        """
        if self.state in _ERROR_BY_STATE:
            raise _ERROR_BY_STATE[self.state](self.id, self.error or _PROBLEM_BY_STATE[self.state])


def read_progress(body: Mapping[str, Any]) -> Progress:
    """Parse the progress of a prediction, which may contain its result.

    Raises:
        KeyError, TypeError, ValueError: the body has another form.
    """
    state = State(body["status"])
    n_rows = _read_row_count(body) if state is State.SUCCEEDED else 0
    rows = body.get("rows", {"done": n_rows, "total": n_rows})
    return Progress(
        id=str(body["id"]),
        state=state,
        rows_done=int(rows["done"]),
        rows_total=int(rows["total"]),
        rows_bad=int(rows.get("bad", 0)),
        position=body.get("position"),
        rows_per_second=body.get("rows_per_second"),
        seconds_left=body.get("seconds_left"),
        error=read_problem(body["error"]) if "error" in body else None,
    )


def read_problem(body: Mapping[str, Any]) -> Problem:
    """Parse the code, message and faults of an error.

    Raises:
        KeyError, TypeError: the body has another form.
    """
    faults = tuple(Fault(str(fault["pointer"]), str(fault["detail"])) for fault in body.get("errors") or ())
    return Problem(str(body["code"]), str(body["detail"]), faults)


def _read_row_count(body: Mapping[str, Any]) -> int:
    return next((len(value) for value in body.values() if isinstance(value, list)), 0)
