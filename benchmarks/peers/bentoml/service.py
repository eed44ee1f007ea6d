"""BentoML with adaptive batching, one worker.

A batchable method takes and returns one entry per row, so a response has one record per row instead of two columns.
`max_latency_ms` is the latency target of the batching, and requests beyond it are refused: of 200 ms, 10 s and the
default of a minute, 10 s had the highest throughput and refused no request. `max_batch_size` counts rows: the default
of 100 is six requests of 16 rows. The access log is off, as in all systems here.
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
        """Score the rows of a batch, and return one record per row."""
        prediction = self.pipeline.predict(data).tolist()
        with np.errstate(divide="ignore"):  # the log of a zero probability
            log_proba = self.pipeline.predict_log_proba(data).tolist()
        return [
            {"prediction": label, "log_proba": ["-Infinity" if value == -inf else value for value in row]}
            for label, row in zip(prediction, log_proba, strict=True)
        ]
