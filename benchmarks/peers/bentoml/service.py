"""BentoML with adaptive batching, one worker.

A batchable method takes and returns one entry a row, so its answer is a record for each row instead of two columns.
`max_latency_ms` is the goal that its batching steers by, and what it refuses requests for: of 200 ms, 10 s and the
default of a minute, 10 s gave the most and refused nothing. `max_batch_size` counts rows: the default of 100 would be
six requests of 16. Its access log, a line a request, is switched off, as all systems' here.
"""

import os
from math import inf
from typing import Annotated, Any

import bentoml
import joblib
import numpy as np
from bentoml.validators import DType

MAX_BATCH_SIZE = 1024
MAX_LATENCY_MS = 10_000


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Iris:
    """Holds the pipeline and scores the rows of many requests at once."""

    def __init__(self) -> None:
        self.pipeline = joblib.load(os.environ["BENCH_MODEL"])

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS)
    def predict(self, data: Annotated[np.ndarray, DType("float64")]) -> list[dict[str, Any]]:
        """Score the rows of a batch: one record for each."""
        prediction = self.pipeline.predict(data).tolist()
        with np.errstate(divide="ignore"):  # the log of a zero probability
            log_proba = self.pipeline.predict_log_proba(data).tolist()
        return [
            {"prediction": label, "log_proba": ["-Infinity" if value == -inf else value for value in row]}
            for label, row in zip(prediction, log_proba, strict=True)
        ]
