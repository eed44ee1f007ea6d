"""The JSON of responses, as models for OpenAPI."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from shared.card import ModelRef
from shared.names import State

ID_PATTERN: Final = "^[A-Za-z0-9_-]{40}$"  # shared/ids.py
"""A prediction's id: 30 bytes in base64url, so every string of this form can be an id."""
ID_EXAMPLE: Final = "AZ2x6FO3mZk1cXHq0d2TAAAFgq2c7m0eVb4Yt0Wb"

# The bounds are in these types: pydantic loses the bounds of a field that is `| SkipJsonSchema[None]`.
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
NonNegativeNumber = Annotated[float, Field(ge=0)]


def schema_reference(name: str) -> dict[str, Any]:
    """Return a reference to a schema in the components."""
    return {"$ref": f"#/components/schemas/{name}"}


class Place(BaseModel):
    """An error in a request body."""

    pointer: str = Field(description="A JSON pointer (RFC 6901).", examples=["/data/3/2"])
    detail: str = Field(description="What to change.")


class Reason(BaseModel):
    """An error code and its explanation."""

    code: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457); its `code` is the same in every version."""

    type: Literal["about:blank"]
    title: str
    status: int
    code: str
    detail: str
    errors: list[Place] | SkipJsonSchema[None] = Field(None, description="Every error in the first invalid row.")
    id: str | SkipJsonSchema[None] = Field(None, description="The id of the prediction that has no result.")
    reasons: list[Reason] | SkipJsonSchema[None] = Field(None, description="Why the gateway is not ready.")


class BatchProvenance(BaseModel):
    """How a batch was computed."""

    attempt: PositiveCount | SkipJsonSchema[None] = Field(None, description="The number of the attempt, from 1.")
    rows: PositiveCount | SkipJsonSchema[None] = Field(None, description="Rows in the batch, of all its predictions.")
    worker: str | SkipJsonSchema[None] = None
    versions: dict[str, str] | SkipJsonSchema[None] = Field(
        None, description="Versions of Python and of the distributions that the model needs, in the worker."
    )


class ResultMeta(BatchProvenance):
    """How a prediction was computed; if it has several batches, each item of `batches` has the members of a batch."""

    digest: str = Field(description="Digest of the artifact.")
    batches: list[BatchProvenance] | SkipJsonSchema[None] = None


class PredictionResult(BaseModel):
    """A succeeded prediction: one item for each row in each output.

    A number that is not finite is a string, such as `"-Infinity"`, the log of a zero probability.
    """

    prediction: list[Any] | SkipJsonSchema[None] = Field(
        None, description="Labels or numbers; a list for each row if the model predicts several at once."
    )
    log_proba: list[Any] | SkipJsonSchema[None] = Field(
        None, description="Natural logarithms, one column for each class in GET /model; absent without classes."
    )
    proba: list[Any] | SkipJsonSchema[None] = Field(None, description="Probabilities, in the same columns.")
    decision: list[Any] | SkipJsonSchema[None] = Field(None, description="Values of `decision_function`.")
    scores: list[Any] | SkipJsonSchema[None] = Field(None, description="Values of `score_samples`.")
    transform: list[Any] | SkipJsonSchema[None] = Field(None, description="The transformed row.")
    leaves: list[Any] | SkipJsonSchema[None] = Field(None, description="The index of the row's leaf in each tree.")
    meta: ResultMeta | SkipJsonSchema[None] = Field(None, description="With `?meta=true`.")
    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: Literal["succeeded"]
    model: ModelRef


class Progress(BaseModel):
    """Progress of a prediction that is not final, in rows."""

    done: Count
    total: PositiveCount


class UnfinishedPrediction(BaseModel):
    """A prediction that is not final."""

    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: Literal["queued", "running"]
    model: ModelRef
    rows: Progress


class BulkProgress(Progress):
    """Progress of a bulk prediction, in rows."""

    bad: Count = Field(description="Rows that are done and have no result.")


class BulkReason(Reason):
    """Why a bulk prediction failed."""

    errors: list[Place] | SkipJsonSchema[None] = Field(None, description="The first rows that cannot be scored.")


class BulkPrediction(BaseModel):
    """The status of a bulk prediction, as uploads, lists, and look-ups without rows return it."""

    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: State
    model: ModelRef
    rows: BulkProgress
    position: Count | SkipJsonSchema[None] = Field(
        None, description="While it is not final: the number of open bulk predictions that were accepted earlier."
    )
    rows_per_second: NonNegativeNumber | SkipJsonSchema[None] = Field(None, description="Present once rows are done.")
    seconds_left: Count | SkipJsonSchema[None] = Field(None, description="Time until it is final, at this rate.")
    error: BulkReason | SkipJsonSchema[None] = Field(None, description="Why it failed.")


class BulkPage(BaseModel):
    """A page of bulk predictions, the latest first."""

    predictions: list[BulkPrediction]
    cursor: str | SkipJsonSchema[None] = Field(
        None, description="The cursor of the next page; absent on the last page."
    )


class BulkResult(PredictionResult):
    """The rows of a succeeded bulk prediction as JSON; a row without a result has null in each output."""

    carried: dict[str, list[Any]] | SkipJsonSchema[None] = Field(None, description="The carried columns.")
    errors: list[Place] | SkipJsonSchema[None] = Field(None, description="With `on_error=report`: errors of rows.")
    rows: BulkProgress


class EndedPrediction(BaseModel):
    """A prediction that is final and has no result."""

    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: Literal["failed", "canceled", "expired"]
    model: ModelRef
    error: Reason | SkipJsonSchema[None] = Field(None, description="Why it failed.")


class PredictionStatus(BaseModel):
    """A prediction of `POST /predict` without its result, in an event."""

    id: str = Field(pattern=ID_PATTERN, examples=[ID_EXAMPLE])
    status: State
    model: ModelRef
    rows: Progress
    error: Reason | SkipJsonSchema[None] = Field(None, description="Why it failed.")


class Live(BaseModel):
    """A gateway process that responds."""

    status: Literal["live"]


class Ready(BaseModel):
    """A gateway that is ready."""

    status: Literal["ready"]
