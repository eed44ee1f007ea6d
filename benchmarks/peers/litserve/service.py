"""LitServe with batching: an API process, a model process, and a queue between them.

Its documentation leaves batch size and wait to the user. The wait is 1 ms: 10 ms halved the throughput at one
connection and gained nothing at 128, and 0 keeps a core busy with polling. For a data frame, whose pipeline takes ten
times as long, it is 5 ms: twice the throughput of 1 ms at 32 and 128 connections, where 10 and 20 ms gained nothing
more. A batch waits at most that long at one connection. `fast_queue` (ZeroMQ), a second API process and a second model
process gained nothing on two cores, so all have their defaults.
"""

import json
import os
import sys
from typing import Any

import litserve as ls

from benchmarks.peers.pipeline import Pipeline, Row

MAX_BATCH_SIZE = 128
BATCH_TIMEOUT_SECONDS = 0.001 if json.loads(os.environ["BENCH_DTYPES"]) is None else 0.005


class Predictor(ls.LitAPI):
    """Scores the rows of many requests in one call of the pipeline."""

    def setup(self, device: str) -> None:
        """Load the pipeline in the model process."""
        self.pipeline = Pipeline()

    def decode_request(self, request: dict[str, Any]) -> list[Row]:
        """Return the rows of a request."""
        rows: list[Row] = request["data"]
        return rows

    def batch(self, inputs: list[list[Row]]) -> list[list[Row]]:
        """Keep the requests as a list, because they may differ in their number of rows."""
        return inputs

    def predict(self, x: list[list[Row]]) -> list[dict[str, Any]]:
        """Score all requests of a batch with two calls of the pipeline."""
        return self.pipeline.predict_each(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the results unchanged: there is already one per request."""
        return output


if __name__ == "__main__":
    api = Predictor(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_SECONDS)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
