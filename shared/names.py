"""Names that cross a process boundary: the task, the queues, the states."""

from enum import StrEnum
from typing import Final

PREDICT_BATCH: Final = "sepal.predict_batch"
"""The registered Celery task; its only argument is a batch's id."""


class Queue(StrEnum):
    """Where a message waits for a worker."""

    INTERACTIVE = "interactive"  # somebody may be waiting for the answer
    BULK = "bulk"  # slices of predictions larger than a batch


class State(StrEnum):
    """A prediction's state; `FINAL_STATES` lists those that never change again."""

    QUEUED = "queued"  # recorded and published, claimed by no worker yet
    RUNNING = "running"  # a worker has claimed it, or at least one of its batches
    SUCCEEDED = "succeeded"  # the result is in the store
    FAILED = "failed"  # no result will come; the error says why
    CANCELED = "canceled"  # the client gave it up
    EXPIRED = "expired"  # its deadline passed first


FINAL_STATES: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED, State.EXPIRED})


class LostReason(StrEnum):
    """How an attempt ended that had no outcome; a label of `sepal_leases_lost_total`."""

    WORKER = "worker"  # its announcements stopped
    PROCESS = "process"  # its pool process was killed
    TIME_LIMIT = "time-limit"  # it took longer than a batch may
    ERROR = "error"  # the store refused, or something nobody expected was raised


class FailureCode(StrEnum):
    """Why a prediction has no result; the code of the error that its client sees."""

    ROWS_REJECTED = "rows-rejected"  # the pipeline raised on them
    POISON = "poison"  # every attempt at them, alone, took its process down or its time limit away
    EXPIRED = (
        "prediction-expired"  # their deadline had passed when a worker came to them; the prediction's state says so
    )
    MODEL_CHANGED = "model-changed"  # they were accepted for another artifact than the workers now serve
