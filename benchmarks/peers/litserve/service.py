"""LitServe with batching: an API process, a model process, and a queue between them.

Its documentation leaves batch size and wait to the user. The wait is 1 ms: 10 ms halved the throughput at one
connection and gained nothing at 128, and 0 keeps a core busy with polling. `fast_queue` (ZeroMQ) and a second API
process gained nothing on two cores, so both have their defaults.
"""

import os
import sys
from math import inf
from typing import Any

import joblib
import litserve as ls
import numpy as np
from numpy.typing import NDArray

MAX_BATCH_SIZE = 128
BATCH_TIMEOUT_SECONDS = 0.001


class Iris(ls.LitAPI):
    """Holds the pipeline and scores the rows of many requests at once."""

    def setup(self, device: str) -> None:
        """Load the pipeline in the model process."""
        self.pipeline = joblib.load(os.environ["BENCH_MODEL"])

    def decode_request(self, request: dict[str, Any]) -> NDArray[np.float64]:
        """Convert the JSON of a request to rows."""
        return np.asarray(request["data"], dtype=np.float64)

    def batch(self, inputs: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Keep the requests as a list, because they may differ in their number of rows."""
        return inputs

    def predict(self, x: list[NDArray[np.float64]]) -> list[dict[str, Any]]:
        """Score all requests of a batch with two calls of the pipeline."""
        rows = np.concatenate(x)
        prediction = self.pipeline.predict(rows).tolist()
        with np.errstate(divide="ignore"):  # the log of a zero probability
            values = self.pipeline.predict_log_proba(rows).tolist()
        log_proba = [["-Infinity" if value == -inf else value for value in row] for row in values]
        ends = np.cumsum([len(request) for request in x]).tolist()
        return [
            {"prediction": prediction[begin:end], "log_proba": log_proba[begin:end]}
            for begin, end in zip([0, *ends], ends, strict=False)
        ]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the results, which are one per request already."""
        return output


if __name__ == "__main__":
    api = Iris(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_SECONDS)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
