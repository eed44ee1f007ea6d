"""BentoML with adaptive batching.
"""

import os
from math import inf
from typing import Annotated, Any

import bentoml
import joblib
import numpy as np
from bentoml.validators import DType
from numpy.typing import NDArray

MAX_BATCH_SIZE = int(os.environ.get("X_BATCH", 1024))
MAX_LATENCY_MS = int(os.environ.get("X_WAIT", 10000))


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Iris:
    """Holds the pipeline and scores the rows of many requests at once."""

    def __init__(self) -> None:
        self.pipeline = joblib.load(os.environ["BENCH_MODEL"])

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS)
    def predict(self, data: Annotated[np.ndarray, DType("float64")]) -> list[dict[str, Any]]:
        """Score the rows of a batch: one record for each."""
        prediction = self.pipeline.predict(data).tolist()
        log_proba = self.pipeline.predict_log_proba(data).tolist()
        return [
            {"prediction": label, "log_proba": ["-Infinity" if value == -inf else value for value in row]}
            for label, row in zip(prediction, log_proba, strict=True)
        ]
