"""Mosec: a Rust front end that batches requests, and one Python worker process.

A batch is sent when it is full or when its first request has waited `max_wait_time`; the documentation leaves both to
the user. The wait is 1 ms, the minimum: compared with 10 ms it had three times the throughput at one connection and
nearly twice at 32, but 10 % less at 128. Batches of 512 requests did as well as 128 at 128 connections. The same holds
for a data frame: 5 ms gained nothing, because requests gather while the worker is busy, and two workers had half the
throughput of one, because the batches were smaller. Only the worker can validate; as in Mosec's examples, it refuses
rows that do not match the columns.
"""

from typing import Any

from mosec import Server, ValidationError, Worker

from benchmarks.peers.pipeline import Pipeline

MAX_BATCH_SIZE = 512
MAX_WAIT_MS = 1


class Predictor(Worker):
    """Scores the rows of many requests in one call of the pipeline."""

    def __init__(self) -> None:
        super().__init__()
        self.pipeline = Pipeline()

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Score a batch of parsed JSON bodies, in order."""
        try:
            return self.pipeline.predict_each([request["data"] for request in data])
        except (KeyError, TypeError, ValueError) as error:
            raise ValidationError(str(error)) from error


if __name__ == "__main__":
    server = Server()
    server.append_worker(Predictor, num=1, max_batch_size=MAX_BATCH_SIZE, max_wait_time=MAX_WAIT_MS)
    server.run()
