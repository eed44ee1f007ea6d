"""Mosec: a Rust front that batches, and one Python worker process behind it.

A batch leaves when it is full or when its first request has waited `max_wait_time`.
"""

import os
from math import inf
from typing import Any

import joblib
import numpy as np
from mosec import Server, ValidationError, Worker

MAX_BATCH_SIZE = int(os.environ.get("X_BATCH", 512))
MAX_WAIT_MS = int(os.environ.get("X_WAIT", 1))


class Iris(Worker):
    """Holds the pipeline and scores the rows of many requests at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pipeline = joblib.load(os.environ["BENCH_MODEL"])

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Score a batch: what came out of the requests' JSON, in order."""
        try:
            requests = [request["data"] for request in data]
            rows = np.concatenate([np.asarray(request, dtype=np.float64) for request in requests])
        except (KeyError, ValueError) as error:
            raise ValidationError(str(error)) from error
        prediction = self.pipeline.predict(rows).tolist()
        log_proba = [
            ["-Infinity" if value == -inf else value for value in row]
            for row in self.pipeline.predict_log_proba(rows).tolist()
        ]
        ends = np.cumsum([len(request) for request in requests]).tolist()
        return [
            {"prediction": prediction[begin:end], "log_proba": log_proba[begin:end]}
            for begin, end in zip([0, *ends], ends, strict=False)
        ]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Iris, num=1, max_batch_size=MAX_BATCH_SIZE, max_wait_time=MAX_WAIT_MS)
    server.run()
