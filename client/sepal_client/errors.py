"""The errors that the client raises on purpose.

SepalError
├── InvalidInput                refused by the client, before anything was sent
├── GatewayUnreachable          no connection, or it broke off, for as long as was asked for
├── WaitTimeout                 the time to wait is over; the prediction goes on
├── DownloadIncomplete          a result could not be read to its end; no file is left
├── PredictionEnded             the prediction is final, and has no result
│   ├── PredictionFailed
│   ├── PredictionCanceled
│   └── PredictionExpired
└── GatewayError                the gateway refused the request
    ├── RequestRefused          change the request
    ├── AccessDenied            send other credentials
    ├── PredictionNotFound
    ├── PredictionGone
    ├── PredictionAlreadyFinal  it is too late to cancel
    ├── DeadLetterNotFound
    ├── IdempotencyConflict     the key belongs to another request
    ├── Unavailable             try again later
    └── GatewayFault            a bug of the gateway, or what answered is no gateway
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Fault:
    """One invalid value among the rows that were sent."""

    pointer: str
    """Its row and column as a JSON pointer (RFC 6901), counted from 0: `/data/3/island`."""
    detail: str
    """What to change."""

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


@dataclass(frozen=True)
class Problem:
    """Why there is no result."""

    code: str
    """Does not change between versions of the gateway."""
    detail: str
    """For people."""
    faults: tuple[Fault, ...] = ()
    """The first rows that cannot be scored."""

    def __str__(self) -> str:
        return f"{self.detail} ({self.code}){_listed(self.faults)}"


_LISTED: Final = 3


def _listed(faults: tuple[Fault, ...]) -> str:
    """List the first faults, each on a line of its own."""
    lines = [f"\n  {fault}" for fault in faults[:_LISTED]]
    left = len(faults) - _LISTED
    return "".join(lines) + (f"\n  and {left} more" if left > 0 else "")


class SepalError(Exception):
    """An expected error; its message says what happened and what to do."""


class InvalidInput(SepalError):
    """The client refused an argument, a file or a setting; nothing was sent."""


class GatewayUnreachable(SepalError):
    """The gateway could not be connected to, or connections broke off, for `retry_for` seconds."""

    def __init__(self, message: str, *, may_be_accepted: bool = False, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.may_be_accepted = may_be_accepted
        """Whether the gateway may have accepted the prediction without the client having learned of it."""
        self.idempotency_key = idempotency_key
        """The same submission with this key leads to the same prediction, never to a second one."""


class WaitTimeout(SepalError):
    """The time to wait is over, and the prediction is not final: it goes on."""

    def __init__(self, prediction_id: str) -> None:
        super().__init__(f"The prediction {prediction_id} is not final yet; it goes on: look it up by its id later.")
        self.prediction_id = prediction_id


class DownloadIncomplete(SepalError):
    """A result could not be read to its end; no file is left."""


class PredictionEnded(SepalError):
    """The prediction is final, and has no result."""

    def __init__(self, prediction_id: str, problem: Problem) -> None:
        super().__init__(str(problem))
        self.prediction_id = prediction_id
        self.problem = problem


class PredictionFailed(PredictionEnded):
    """The prediction failed; `problem` says why."""


class PredictionCanceled(PredictionEnded):
    """The prediction was canceled."""


class PredictionExpired(PredictionEnded):
    """The prediction's deadline passed before there was a result."""


class GatewayError(SepalError):
    """The gateway refused the request."""

    def __init__(
        self,
        status: int,
        problem: Problem,
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(str(problem))
        self.status = status
        """The HTTP status."""
        self.problem = problem
        self.retry_after = retry_after
        """After how many seconds the gateway wants to be asked again."""
        self.request_id = request_id
        """The correlation id of the request in the gateway's log, if it has one."""
        self.idempotency_key = idempotency_key
        """Of a submission: the same one with this key leads to the same prediction, never to a second one."""

    @property
    def code(self) -> str:
        """The code of the error, which does not change between versions; empty if what answered is no gateway."""
        return self.problem.code

    @property
    def detail(self) -> str:
        """What happened and what to change, for people."""
        return self.problem.detail

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The invalid values among the rows that were sent: those of the first wrong rows."""
        return self.problem.faults


class RequestRefused(GatewayError):
    """The request must be changed: its rows, its options or its size."""


class AccessDenied(GatewayError):
    """The credentials are missing or wrong."""


class PredictionNotFound(GatewayError):
    """There is no prediction with this id, and never was."""


class PredictionGone(GatewayError):
    """The prediction was final, and is not kept any more."""


class PredictionAlreadyFinal(GatewayError):
    """It is too late to cancel the prediction."""


class DeadLetterNotFound(GatewayError):
    """There is no dead letter with this id, or no longer."""


class IdempotencyConflict(GatewayError):
    """The idempotency key was used for another request, or its first request is still being sent."""


class Unavailable(GatewayError):
    """The gateway cannot do it now: nothing was accepted; try again later."""


class GatewayFault(GatewayError):
    """The gateway failed to handle the request, or what answered is not a Sepal gateway."""


CLASSES: Final[Mapping[str, type[GatewayError] | type[PredictionEnded]]] = {
    "malformed-json": RequestRefused,
    "malformed-upload": RequestRefused,
    "malformed-request": RequestRefused,
    "invalid-deadline": RequestRefused,
    "invalid-idempotency-key": RequestRefused,
    "operators-only": AccessDenied,
    "dead-letter-not-found": DeadLetterNotFound,
    "prediction-not-found": PredictionNotFound,
    "not-found": RequestRefused,
    "method-not-allowed": RequestRefused,
    "not-acceptable": RequestRefused,
    "request-timeout": Unavailable,
    "idempotency-key-in-use": IdempotencyConflict,
    "prediction-already-final": PredictionAlreadyFinal,
    "prediction-canceled": PredictionCanceled,
    "prediction-gone": PredictionGone,
    "body-too-large": RequestRefused,
    "request-line-too-long": RequestRefused,
    "unsupported-content-coding": RequestRefused,
    "unsupported-content-type": RequestRefused,
    "range-not-satisfiable": RequestRefused,
    "expectation-failed": RequestRefused,
    "invalid-rows": RequestRefused,
    "invalid-parameter": RequestRefused,
    "idempotency-key-reused": IdempotencyConflict,
    "rows-rejected": PredictionFailed,
    "headers-too-large": RequestRefused,
    "poison": PredictionFailed,
    "rows-lost": PredictionFailed,
    "model-changed": PredictionFailed,
    "broker-unavailable": Unavailable,
    "backlog-full": Unavailable,
    "not-implemented": RequestRefused,
    "too-many-connections": Unavailable,
    "too-many-bodies": Unavailable,
    "body-not-read": Unavailable,
    "object-store-unavailable": Unavailable,
    "result-not-written": Unavailable,
    "too-many-waiters": Unavailable,
    "record-incompatible": Unavailable,
    "deadline-unreachable": Unavailable,
    "model-unknown": Unavailable,
    "not-ready": Unavailable,
    "no-worker": Unavailable,
    "stalled": Unavailable,
    "prediction-expired": PredictionExpired,
    "storage-full": Unavailable,
    "http-version-not-supported": RequestRefused,
    "internal-error": GatewayFault,
}
"""The class for each code of the HTTP interface (docs/http.md, "Errors")."""

_BY_STATUS: Final[Mapping[int, type[GatewayError]]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: PredictionNotFound,
    408: Unavailable,
    410: PredictionGone,
    429: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: Unavailable,
}
_NOT_IMPLEMENTED: Final = frozenset({501, 505})


def class_of(code: str, status: int) -> type[GatewayError] | type[PredictionEnded]:
    """Return the class of an error; one with an unknown code is told by its HTTP status."""
    if code in CLASSES:
        return CLASSES[code]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return RequestRefused if 400 <= status < 500 or status in _NOT_IMPLEMENTED else GatewayFault
