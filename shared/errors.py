"""The expected errors of Sepal.

SepalError
├── RequestRefused              nothing was accepted, and no id was issued
│   ├── MalformedJson
│   ├── UnsupportedContentType
│   ├── UnsupportedContentCoding
│   │   └── UnsupportedUploadCoding
│   ├── BodyTooLarge
│   ├── TooManyBodies           counted over all connections
│   ├── TooManyWaiters
│   ├── BodyNotRead             the reader process was killed
│   ├── InvalidRows             lists each invalid value
│   ├── InvalidParameter        in the query string
│   ├── InvalidDeadline
│   ├── InvalidIdempotencyKey
│   ├── IdempotencyKeyReused
│   ├── IdempotencyKeyInUse
│   ├── BrokerUnavailable
│   ├── BacklogFull
│   ├── ObjectStoreUnavailable
│   ├── StorageFull             the object store is full, or its limit is reached
│   ├── MalformedUpload         with the position, if it is known
│   ├── NotAcceptable           lists the available formats
│   ├── RangeNotSatisfiable
│   ├── DeadlineUnreachable     with the time of a retry
│   ├── ModelUnknown
│   └── OperatorsOnly
├── NoWorker                    a reason why the gateway is not ready; it still accepts predictions
├── Stalled                     another such reason
├── WorkerCannotLoad            another such reason, from the worker
├── ResultNotWritten            the table process was killed
├── RecordIncompatible          another version of Sepal wrote the record
├── PredictionNotFound
├── PredictionGone
├── PredictionAlreadyFinal
├── PredictionFailed            with the worker's reason
├── PredictionCanceled
├── PredictionExpired
├── DeadLetterNotFound
└── ArtifactError               the worker exits before it consumes messages
    ├── ArtifactMissing
    ├── ArtifactAltered
    ├── ArtifactIncompatible
    ├── ArtifactUntrusted
    ├── ArtifactUnloadable
    ├── ArtifactExists          training wrote nothing
    └── CannotServe             training wrote nothing: Sepal does not serve such a pipeline
"""

from dataclasses import dataclass
from typing import ClassVar


class SepalError(Exception):
    """An expected error, whose message contains a remedy for the client or operator."""

    code: str
    detail: ClassVar[str]

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.detail)


class RequestRefused(SepalError):
    """The request was refused; nothing was accepted."""


class MalformedJson(RequestRefused):
    """The body is not JSON."""

    code = "malformed-json"
    detail = "The body is not JSON."


class UnsupportedContentType(RequestRefused):
    """The `Content-Type` is not JSON."""

    code = "unsupported-content-type"
    detail = "Send the rows as `Content-Type: application/json`."


class UnsupportedContentCoding(RequestRefused):
    """The body is compressed."""

    code = "unsupported-content-coding"
    detail = "Send the body as it is, without `Content-Encoding`."
    accepted = "identity"
    """The accepted content codings."""


class UnsupportedUploadCoding(UnsupportedContentCoding):
    """The body of an upload has a content coding that is not accepted."""

    detail = "Send the body as it is, or with the `Content-Encoding` gzip or zstd."
    accepted = "gzip, zstd, identity"


class BodyTooLarge(RequestRefused):
    """The body exceeds the configured limit."""

    code = "body-too-large"
    detail = "The body is larger than this gateway accepts: send fewer rows per request."


class TooManyBodies(RequestRefused):
    """The bodies that the gateway is receiving would exceed `SEPAL_MAX_BODIES_BYTES`."""

    code = "too-many-bodies"
    detail = "The gateway is receiving too many large bodies: nothing was accepted; retry later."


class BodyNotRead(RequestRefused):
    """The process that reads the body was killed, or timed out."""

    code = "body-not-read"
    detail = "The body could not be read, and nothing was accepted: retry, with fewer rows per request."


class TooManyWaiters(RequestRefused):
    """`SEPAL_MAX_WAITERS` requests already wait for their results."""

    code = "too-many-waiters"
    detail = "Too many requests wait for their results: nothing was accepted; retry, or send `Prefer: respond-async`."


@dataclass(frozen=True, slots=True)
class Fault:
    """One invalid value in a body, located by a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str


class InvalidRows(RequestRefused):
    """The body is JSON, but does not fit the model card."""

    code = "invalid-rows"
    detail = "The rows do not fit the model: see `errors`, and GET /model for the columns."

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__()
        self.faults = faults


class InvalidParameter(RequestRefused):
    """A query parameter is invalid."""

    code = "invalid-parameter"
    detail = "A query parameter is invalid."


class InvalidDeadline(RequestRefused):
    """`Sepal-Deadline` is malformed."""

    code = "invalid-deadline"
    detail = "`Sepal-Deadline` must be a number of seconds from now, such as 2.5."


class InvalidIdempotencyKey(RequestRefused):
    """`Idempotency-Key` is malformed."""

    code = "invalid-idempotency-key"
    detail = "`Idempotency-Key` must be a string of 1 to 255 printable ASCII characters, in quotes."


class IdempotencyKeyReused(RequestRefused):
    """The key was used with a different body."""

    code = "idempotency-key-reused"
    detail = "This `Idempotency-Key` was used with a different body: use a new key for a new request."


class IdempotencyKeyInUse(RequestRefused):
    """The first request with this key is still being accepted."""

    code = "idempotency-key-in-use"
    detail = "The first request with this `Idempotency-Key` is still being accepted: retry in a moment."


class BrokerUnavailable(RequestRefused):
    """Redis is unavailable, or timed out."""

    code = "broker-unavailable"
    detail = "The queue is unavailable: retry."


class BacklogFull(RequestRefused):
    """The queue's backlog would exceed `SEPAL_MAX_BACKLOG_ROWS` or, for bulk, `SEPAL_MAX_BULK_BACKLOG_ROWS`."""

    code = "backlog-full"
    detail = "Too many rows are already waiting: nothing was accepted; retry later."


class ObjectStoreUnavailable(RequestRefused):
    """The object store is unavailable: it timed out, or returned an error."""

    code = "object-store-unavailable"
    detail = "The object store is unavailable; nothing was accepted. Try again later."


class StorageFull(RequestRefused):
    """The object store is full, or the limit for its size is reached."""

    code = "storage-full"
    detail = "The object store is full: there is no room for these rows and their results. Try again later."


class MalformedUpload(RequestRefused):
    """The body of an upload is not of its media type."""

    code = "malformed-upload"
    detail = "The body does not have the format of its Content-Type."

    def __init__(self, detail: str | None = None, faults: list[Fault] | None = None) -> None:
        super().__init__(detail)
        self.faults = faults or []
        """The position of the error, if it is known."""


class NotAcceptable(RequestRefused):
    """The result is not available in any format that `Accept` allows."""

    code = "not-acceptable"
    detail = "Accept JSON, NDJSON, CSV, an Arrow stream or Parquet."


class RangeNotSatisfiable(RequestRefused):
    """The `Range` header requests bytes after the end of the result."""

    code = "range-not-satisfiable"
    detail = "The Range header requests bytes after the end of the result."

    def __init__(self, n_bytes: int) -> None:
        super().__init__()
        self.n_bytes = n_bytes


class DeadlineUnreachable(RequestRefused):
    """The predicted wait is longer than the deadline of the request."""

    code = "deadline-unreachable"
    detail = "The waiting rows take longer than the deadline: nothing was accepted; retry later."

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class ModelUnknown(RequestRefused):
    """No worker has announced a model card."""

    code = "model-unknown"
    detail = "No worker has announced its model yet: start a worker, or retry in a moment."


class OperatorsOnly(RequestRefused):
    """The request does not have the operator token, or this gateway has none."""

    code = "operators-only"
    detail = "Dead letters contain clients' rows: set SEPAL_OPERATOR_TOKEN, and send it as `Authorization: Bearer …`."


class NoWorker(SepalError):
    """No worker can run a batch; accepted predictions wait in the queue."""

    code = "no-worker"
    detail = "No worker has its model loaded: predictions are accepted, and wait in the queue."


class Stalled(SepalError):
    """Rows are waiting and workers are announced, but no batch has finished for a long time."""

    code = "stalled"
    detail = "Rows wait and workers are announced, but no batch has been finished for a long time."


class WorkerCannotLoad(SepalError):
    """A worker exited because it cannot serve its model; `code` is that of an `ArtifactError`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"A worker cannot serve its model: {reason}")
        self.code = code


class ResultNotWritten(SepalError):
    """The process that writes the result was killed, or timed out, or no process was free."""

    code = "result-not-written"
    detail = "The result could not be written in this format: retry, or request another format."


class RecordIncompatible(SepalError):
    """Another version of Sepal wrote this record or card."""

    code = "record-incompatible"
    detail = "Another version of Sepal wrote this: let its processes finish it, or run one version everywhere."

    def __init__(self, found_schema: str | None = None, expected_schema: int | None = None) -> None:
        numbers = f" (Its schema is {found_schema}, and this process reads {expected_schema}.)"
        super().__init__(self.detail + ("" if expected_schema is None else numbers))


class PredictionNotFound(SepalError):
    """No prediction has this id."""

    code = "prediction-not-found"
    detail = "There is no prediction with this id."


class PredictionGone(SepalError):
    """The retention of the prediction has ended."""

    code = "prediction-gone"
    detail = "The retention of this prediction's result has ended: submit the rows again."


class PredictionAlreadyFinal(SepalError):
    """The prediction is already final and cannot be canceled."""

    code = "prediction-already-final"
    detail = "This prediction is final and cannot be canceled."


class PredictionFailed(SepalError):
    """The prediction that a client waits for has failed; `code` is the worker's reason."""

    def __init__(self, prediction_id: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.prediction_id = prediction_id
        self.code = code


class PredictionCanceled(SepalError):
    """Another request canceled the prediction that a client waits for."""

    code = "prediction-canceled"
    detail = "The prediction was canceled while this request waited for it."

    def __init__(self, prediction_id: str) -> None:
        super().__init__()
        self.prediction_id = prediction_id


class PredictionExpired(SepalError):
    """The deadline passed while a client waited for the prediction."""

    code = "prediction-expired"
    detail = "The deadline passed before there was a result."

    def __init__(self, prediction_id: str) -> None:
        super().__init__()
        self.prediction_id = prediction_id


class DeadLetterNotFound(SepalError):
    """No dead letter has this id, or it was discarded or expired."""

    code = "dead-letter-not-found"
    detail = "There is no dead letter with this id."


class ArtifactError(SepalError):
    """The model directory cannot be served.

    `/readyz` shows the message of a worker: it contains no paths except those within the model directory.
    """

    remedy: str
    """The remedy for the operator."""

    def __init__(self, problem: str, remedy: str | None = None) -> None:
        self.problem = problem.rstrip(".")  # the messages of libraries end with a period
        self.remedy = remedy or self.remedy
        super().__init__(f"{self.problem}. {self.remedy}")


class ArtifactMissing(ArtifactError):
    """The card or the pipeline is missing or unreadable."""

    code = "artifact-missing"
    remedy = "Train a model with `python -m training`, or point SEPAL_MODEL_DIR at one."


class ArtifactAltered(ArtifactError):
    """The digest of a file differs from the digest in the card, or the card does not name the file."""

    code = "artifact-altered"
    remedy = "The pipeline or its card was replaced or damaged: restore both, or train the model again."


class ArtifactIncompatible(ArtifactError):
    """The pipeline needs other versions of distributions, or the card was written by another version of Sepal."""

    code = "artifact-incompatible"
    remedy = "Train it again with the versions that serve it, or serve it with the versions that trained it."


class ArtifactUntrusted(ArtifactError):
    """The pipeline contains types that are not in SEPAL_TRUSTED_TYPES; none of them was imported."""

    code = "artifact-untrusted"
    remedy = "Add the types to SEPAL_TRUSTED_TYPES of the worker, if you trust them."


class ArtifactUnloadable(ArtifactError):
    """The pipeline's digest is right, but unpickling it or warming it up failed."""

    code = "artifact-unloadable"
    remedy = "See the traceback in the worker's log: install the pipeline's dependencies, or train it again."


class ArtifactExists(ArtifactError):
    """A different pipeline has this name and version."""

    code = "artifact-exists"
    remedy = "Choose another version for the new pipeline, or remove the old one first."


class CannotServe(ArtifactError):
    """Sepal does not support this pipeline, or a type of its columns."""

    code = "cannot-serve"
    remedy = "Convert the rows before the pipeline is fitted."
    labels_remedy = "Let predict return an array of numbers, strings, booleans or datetimes, one for each row."
