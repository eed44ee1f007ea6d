"""BentoML with adaptive batching.

A matrix is served by one worker, a data frame by two: at 128 connections two had 2.5 times the throughput of one, at
32 the same. Each worker forms batches and has its own pipeline. The rows of a data frame arrive as lists, which BentoML
joins to a batch before they become one data frame.

A batchable method takes and returns one entry per row, so a response has one record per row instead of two columns.
`max_latency_ms` is the latency target of the batching, and requests beyond it are refused: of 200 ms, 10 s and the
default of a minute, 10 s had the highest throughput and refused no request. `max_batch_size` counts rows: the default
of 100 is six requests of 16 rows. The access log is off, as in all systems here.
"""

import json
import os
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType

from benchmarks.peers.pipeline import Pipeline

IS_MATRIX = json.loads(os.environ["BENCH_DTYPES"]) is None
WORKERS = 1 if IS_MATRIX else 2
MAX_BATCH_SIZE = 1024
MAX_LATENCY_MS = 10_000

Rows: Any = Annotated[np.ndarray, DType("float64")] if IS_MATRIX else list[list[Any]]


@bentoml.service(workers=WORKERS, logging={"access": {"enabled": False}})
class Predictor:
    """Scores the rows of many requests in one call of the pipeline."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS)
    def predict(self, data: Rows) -> list[dict[str, Any]]:
        """Score the rows of a batch, and return one record per row."""
        prediction, log_proba = self.pipeline.predict(self.pipeline.input(data))
        return [{"prediction": label, "log_proba": row} for label, row in zip(prediction, log_proba, strict=True)]
