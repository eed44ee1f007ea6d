"""Everything Sepal raises on purpose.

SepalError
├── RequestRefused              the client was given no id
│   ├── MalformedJson
│   ├── UnsupportedContentType
│   ├── BodyTooLarge
│   ├── InvalidRows             lists each place that is wrong
│   ├── InvalidParameter        of a query
│   ├── InvalidDeadline
│   ├── InvalidIdempotencyKey
│   ├── IdempotencyKeyReused
│   ├── IdempotencyKeyInUse
│   ├── BrokerUnavailable
│   ├── BacklogFull
│   ├── DeadlineUnreachable     says when to try again
│   ├── ModelUnknown
│   └── OperatorsOnly
├── NoWorker                    a reason not to be ready; predictions are still accepted
├── Stalled                     another
├── WorkerCannotLoad            another; carries the worker's reason
├── RecordIncompatible          another version of Sepal wrote it
├── PredictionNotFound
├── PredictionGone
├── PredictionAlreadyFinal
├── PredictionFailed            carries the worker's reason
├── PredictionCanceled
├── PredictionExpired
├── DeadLetterNotFound
└── ArtifactError               stops a worker before it takes work
    ├── ArtifactMissing
    ├── ArtifactAltered
    ├── ArtifactIncompatible
    ├── ArtifactUnloadable
    ├── ArtifactExists          training wrote nothing
    └── ExampleIncomplete       likewise
"""

from dataclasses import dataclass
from typing import ClassVar


class SepalError(Exception):
    """Something expected went wrong; the message says what can be done about it."""

    code: str
    detail: ClassVar[str]

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.detail)


class RequestRefused(SepalError):
    """A request that was given no id."""


class MalformedJson(RequestRefused):
    """The body does not parse."""

    code = "malformed-json"
    detail = "The body is not JSON."


class UnsupportedContentType(RequestRefused):
    """The body says it is something else."""

    code = "unsupported-content-type"
    detail = "Send the rows as `Content-Type: application/json`."


class BodyTooLarge(RequestRefused):
    """The body passes the configured limit."""

    code = "body-too-large"
    detail = "The body is larger than this gateway accepts: send fewer rows at a time."


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong place in a body, as a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str


class InvalidRows(RequestRefused):
    """The body is JSON, and not what the model card asks for."""

    code = "invalid-rows"
    detail = "The rows do not fit the model: see `errors`, and GET /model for the columns."

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__()
        self.faults = faults


class InvalidParameter(RequestRefused):
    """A parameter of the query is not what it should be."""

    code = "invalid-parameter"
    detail = "A parameter of the query is not what it should be."


class InvalidDeadline(RequestRefused):
    """`Sepal-Deadline` does not parse."""

    code = "invalid-deadline"
    detail = "`Sepal-Deadline` is a number of seconds from now, such as 2.5."


class InvalidIdempotencyKey(RequestRefused):
    """`Idempotency-Key` does not parse."""

    code = "invalid-idempotency-key"
    detail = "`Idempotency-Key` is a string of 1 to 255 printable ASCII characters, in quotes."


class IdempotencyKeyReused(RequestRefused):
    """The key came with another body before."""

    code = "idempotency-key-reused"
    detail = "This `Idempotency-Key` was used with another body: take a new key for a new request."


class IdempotencyKeyInUse(RequestRefused):
    """The first request with this key is being accepted at this moment."""

    code = "idempotency-key-in-use"
    detail = "The first request with this `Idempotency-Key` is still being accepted: try again in a moment."


class BrokerUnavailable(RequestRefused):
    """Redis did not answer in time."""

    code = "broker-unavailable"
    detail = "The queue cannot be reached: try again."


class BacklogFull(RequestRefused):
    """More rows are waiting in this queue than `SEPAL_MAX_BACKLOG_ROWS` or `SEPAL_MAX_BULK_BACKLOG_ROWS` allows."""

    code = "backlog-full"
    detail = "Too many rows are waiting already: nothing was accepted; try again later."


class DeadlineUnreachable(RequestRefused):
    """The rows that wait already take longer than the request's deadline allows."""

    code = "deadline-unreachable"
    detail = "The rows that wait already take longer than the deadline: nothing was accepted; try again later."

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class ModelUnknown(RequestRefused):
    """No worker has ever announced a model card."""

    code = "model-unknown"
    detail = "No worker has announced its model yet: start one, or try again in a moment."


class OperatorsOnly(RequestRefused):
    """The request does not carry the operators' token, or this gateway has none."""

    code = "operators-only"
    detail = "Dead letters hold clients' rows: set SEPAL_OPERATOR_TOKEN, and send it as `Authorization: Bearer …`."


class NoWorker(SepalError):
    """Nobody would answer now; what is accepted waits in the queue."""

    code = "no-worker"
    detail = "No worker process is alive with its model loaded: predictions are accepted, and wait."


class Stalled(SepalError):
    """Rows wait, workers say that they live, and nothing becomes final."""

    code = "stalled"
    detail = "Rows wait and no batch has been finished for long, although workers announce themselves."


class WorkerCannotLoad(SepalError):
    """A worker has ended because it cannot serve its model; `code` is an `ArtifactError`'s."""

    def __init__(self, code: str, remedy: str) -> None:
        super().__init__(remedy)
        self.code = code


class RecordIncompatible(SepalError):
    """A record of the store, or a card, that another version of Sepal has written."""

    code = "record-incompatible"
    detail = "Another version of Sepal wrote this: let its own processes finish it, or run the same version everywhere."

    def __init__(self, found: str | None = None, expected: int | None = None) -> None:
        numbers = f" (Its schema is {found}, and this process reads {expected}.)" if expected is not None else ""
        super().__init__(self.detail + numbers)


class PredictionNotFound(SepalError):
    """No such id was given out."""

    code = "prediction-not-found"
    detail = "There is no prediction with this id."


class PredictionGone(SepalError):
    """It was final, and its retention is over."""

    code = "prediction-gone"
    detail = "This prediction's result is past its retention: submit the rows again."


class PredictionAlreadyFinal(SepalError):
    """Canceling came too late."""

    code = "prediction-already-final"
    detail = "This prediction is final and can no longer be canceled."


class PredictionFailed(SepalError):
    """A waiting client's prediction ended without a result; `code` is the worker's reason."""

    def __init__(self, prediction_id: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.prediction_id = prediction_id
        self.code = code


class PredictionCanceled(SepalError):
    """A waiting client's prediction was canceled by another request."""

    code = "prediction-canceled"
    detail = "The prediction was canceled while this request waited for it."

    def __init__(self, prediction_id: str) -> None:
        super().__init__()
        self.prediction_id = prediction_id


class PredictionExpired(SepalError):
    """A waiting client's deadline passed first."""

    code = "prediction-expired"
    detail = "The deadline passed before there was a result."

    def __init__(self, prediction_id: str) -> None:
        super().__init__()
        self.prediction_id = prediction_id


class DeadLetterNotFound(SepalError):
    """There is none with this id, or no longer."""

    code = "dead-letter-not-found"
    detail = "There is no dead letter with this id."


class ArtifactError(SepalError):
    """A model directory that cannot be served."""

    remedy: str
    """What can be done about it, for whoever may not see paths."""

    def __init__(self, what: str, remedy: str | None = None) -> None:
        self.remedy = remedy or self.remedy
        super().__init__(f"{what}. {self.remedy}")


class ArtifactMissing(ArtifactError):
    """There is no card, or no pipeline beside it, or the card cannot be read."""

    code = "artifact-missing"
    remedy = "Train a model with `python -m training`, or point SEPAL_MODEL_DIR at one."


class ArtifactAltered(ArtifactError):
    """The pipeline's digest is not the one on its card."""

    code = "artifact-altered"
    remedy = "Pipeline or card were replaced or damaged: restore the pair from where it was trained, or train it again."


class ArtifactIncompatible(ArtifactError):
    """The pipeline was made with a scikit-learn, or the card with a Sepal, that these cannot be trusted to read."""

    code = "artifact-incompatible"
    remedy = "Train it again with the versions that serve it, or serve it with those that it was made with."


class ArtifactUnloadable(ArtifactError):
    """The pipeline is the right one, and unpickling it or warming it up failed."""

    code = "artifact-unloadable"
    remedy = "The worker's log has the traceback: install what the pipeline needs, or train it again."


class ArtifactExists(ArtifactError):
    """Another pipeline already has this name and version."""

    code = "artifact-exists"
    remedy = "Give the new one another version, or remove the old one first."


class ExampleIncomplete(ArtifactError):
    """A row that is to work holds a value that no client could send."""

    code = "example-incomplete"
    remedy = "Choose rows in which every value is a finite number, and fill gaps before rows are sent."
