"""Names that cross a process boundary: the task, the queues, the states."""

from enum import StrEnum
from typing import Final

PREDICT_BATCH: Final = "sepal.predict_batch"
"""The registered Celery task; its only argument is a batch id."""


class Queue(StrEnum):
    """The queues that workers consume."""

    INTERACTIVE = "interactive"  # predictions that share a batch; clients may be waiting for them
    BULK = "bulk"  # spanning predictions, and the slices of bulk predictions


class State(StrEnum):
    """A prediction's state; those in `FINAL_STATES` never change."""

    QUEUED = "queued"  # recorded and published; no worker has claimed it yet
    RUNNING = "running"  # a worker has claimed it, or at least one of its batches
    SUCCEEDED = "succeeded"  # the result is in the store
    FAILED = "failed"  # there is no result; the error contains the reason
    CANCELED = "canceled"  # the client canceled it
    EXPIRED = "expired"  # its deadline passed before there was a result


FINAL_STATES: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED, State.EXPIRED})


class Output(StrEnum):
    """An output of a pipeline for each row; `METHODS` has the method that computes it."""

    PREDICTION = "prediction"
    LOG_PROBA = "log_proba"  # classifiers only; the logarithm of predict_proba if there is no predict_log_proba
    PROBA = "proba"
    DECISION = "decision"
    SCORES = "scores"
    TRANSFORM = "transform"
    LEAVES = "leaves"  # of trees: the method of the last step, applied to the transformed rows


METHODS: Final = {
    Output.PREDICTION: "predict",
    Output.LOG_PROBA: "predict_log_proba",
    Output.PROBA: "predict_proba",
    Output.DECISION: "decision_function",
    Output.SCORES: "score_samples",
    Output.TRANSFORM: "transform",
    Output.LEAVES: "apply",
}
"""The scikit-learn method of each output."""


class LostReason(StrEnum):
    """Why an attempt ended without an outcome; a label of `sepal_leases_lost_total`."""

    WORKER = "worker"  # the worker stopped announcing itself
    PROCESS = "process"  # the pool process died
    TIME_LIMIT = "time-limit"  # the batch exceeded its time limit
    ERROR = "error"  # the store refused a script, or an unexpected exception was raised


class FailureCode(StrEnum):
    """Why a prediction has no result: the code of the error that its client receives."""

    ROWS_REJECTED = "rows-rejected"  # the pipeline raised an exception on the rows
    POISON = "poison"  # every attempt at these rows alone crashed or timed out
    EXPIRED = "prediction-expired"  # the deadline passed before a worker ran the rows; the state is then `expired`
    MODEL_CHANGED = "model-changed"  # the workers no longer serve the artifact that the rows were accepted for
    ROWS_LOST = "rows-lost"  # the object of the rows is no longer in the object store


class OnError(StrEnum):
    """How a bulk prediction handles bad rows."""

    FAIL = "fail"  # the prediction fails, and its error lists the first bad rows
    REPORT = "report"  # the other rows are scored, and the result has a reason for each bad row
