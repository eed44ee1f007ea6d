"""The errors that the client raises on purpose.

SepalError
├── InvalidInput                refused by the client, usually before anything was sent
├── GatewayUnreachable          the connection failed or was lost, for `retry_for` seconds
├── WaitTimeout                 the prediction was not final in time; it continues
├── DownloadIncomplete          the download ended early; no file is left
├── PredictionEnded             the prediction is final without a result
│   ├── PredictionFailed
│   ├── PredictionCanceled
│   └── PredictionExpired
└── GatewayError                the gateway refused the request
    ├── RequestRefused          change the request
    ├── AccessDenied            send other credentials
    ├── PredictionNotFound
    ├── PredictionGone
    ├── PredictionAlreadyFinal  it cannot be canceled any more
    ├── DeadLetterNotFound
    ├── IdempotencyConflict     the key belongs to another request
    ├── Unavailable             try again later
    └── GatewayFault            a bug in the gateway, or the server is not a Sepal gateway
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Fault:
    """An invalid value in the submitted rows."""

    pointer: str
    """Row (counted from 0) and column as a JSON pointer (RFC 6901): `/data/3/island`."""
    detail: str
    """The error, and what to change."""

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


@dataclass(frozen=True)
class Problem:
    """The reason why there is no result."""

    code: str
    """The error code, which does not change between versions of the gateway."""
    detail: str
    """The message."""
    faults: tuple[Fault, ...] = ()
    """The invalid values of the first rows that cannot be scored."""

    def __str__(self) -> str:
        return f"{self.detail} ({self.code}){_fault_lines(self.faults)}"


_MAX_LISTED_FAULTS: Final = 3


def _fault_lines(faults: tuple[Fault, ...]) -> str:
    """Return the first faults, each on its own line."""
    lines = [f"\n  {fault}" for fault in faults[:_MAX_LISTED_FAULTS]]
    left = len(faults) - _MAX_LISTED_FAULTS
    return "".join(lines) + (f"\n  and {left} more" if left > 0 else "")


class SepalError(Exception):
    """An expected error; its message describes the error and what to do."""


class InvalidInput(SepalError):
    """The client refused an argument, a file or a setting; nothing was accepted."""


class GatewayUnreachable(SepalError):
    """Connections to the gateway failed or were lost for `retry_for` seconds."""

    def __init__(self, message: str, *, may_be_accepted: bool = False, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.may_be_accepted = may_be_accepted
        """Whether the gateway may have accepted the prediction although its response was lost."""
        self.idempotency_key = idempotency_key
        """Repeating the submission with this key returns the same prediction and never creates a second one."""


class WaitTimeout(SepalError):
    """The prediction was not final in time; it continues."""

    def __init__(self, prediction_id: str) -> None:
        super().__init__(f"The prediction {prediction_id} is not final yet; it continues: look it up by its id later.")
        self.prediction_id = prediction_id


class DownloadIncomplete(SepalError):
    """The download of a result ended early; no file is left."""


class PredictionEnded(SepalError):
    """The prediction is final without a result."""

    def __init__(self, prediction_id: str, problem: Problem) -> None:
        super().__init__(str(problem))
        self.prediction_id = prediction_id
        self.problem = problem


class PredictionFailed(PredictionEnded):
    """The prediction failed; `problem` has the reason."""


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
        """Seconds after which to try again, from the header `Retry-After`."""
        self.request_id = request_id
        """The correlation id of the request in the gateway's log, if it has one."""
        self.idempotency_key = idempotency_key
        """Of a submission: repeating it with this key returns the same prediction and never creates a second one."""

    @property
    def code(self) -> str:
        """The error code, which does not change between versions; empty if the response is not a Sepal gateway's."""
        return self.problem.code

    @property
    def detail(self) -> str:
        """The message: the error, and what to change."""
        return self.problem.detail

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The invalid values of the first rows that cannot be scored."""
        return self.problem.faults


class RequestRefused(GatewayError):
    """The request is invalid: change its rows, options or size."""


class AccessDenied(GatewayError):
    """The credentials are missing or wrong."""


class PredictionNotFound(GatewayError):
    """There was never a prediction with this id."""


class PredictionGone(GatewayError):
    """The prediction was final, and its retention is over."""


class PredictionAlreadyFinal(GatewayError):
    """The prediction cannot be canceled, because it is final."""


class DeadLetterNotFound(GatewayError):
    """There is no dead letter with this id (any more)."""


class IdempotencyConflict(GatewayError):
    """The idempotency key was used for another request, or its first request is still being sent."""


class Unavailable(GatewayError):
    """The gateway is temporarily unable to process the request; nothing was accepted: try again later."""


class GatewayFault(GatewayError):
    """A bug in the gateway, or a response that is not a Sepal gateway's."""


CLASS_BY_CODE: Final[Mapping[str, type[GatewayError] | type[PredictionEnded]]] = {
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
"""The error class of each code of the HTTP interface (docs/http.md, "Errors")."""

_CLASS_BY_STATUS: Final[Mapping[int, type[GatewayError]]] = {
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
_NOT_IMPLEMENTED_STATUSES: Final = frozenset({501, 505})


def error_class(code: str, status: int) -> type[GatewayError] | type[PredictionEnded]:
    """Return the error class of a code or, if the code is unknown, of the HTTP status."""
    if code in CLASS_BY_CODE:
        return CLASS_BY_CODE[code]
    if status in _CLASS_BY_STATUS:
        return _CLASS_BY_STATUS[status]
    return RequestRefused if 400 <= status < 500 or status in _NOT_IMPLEMENTED_STATUSES else GatewayFault
