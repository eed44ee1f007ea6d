"""The Celery worker: `celery --app tasks worker --concurrency 1`."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.peers.pipeline import Pipeline

app = Celery("tasks", broker=os.environ["BENCH_REDIS_URL"], backend=os.environ["BENCH_REDIS_URL"])
models: dict[str, Pipeline] = {}


@worker_process_init.connect
def load_model(**_: object) -> None:
    """Load the pipeline once per pool process."""
    models["iris"] = Pipeline()


@app.task
def score(rows: list[list[float]]) -> dict[str, list[Any]]:
    """Score the rows of one request."""
    pipeline = models["iris"]
    prediction, log_proba = pipeline.predict(pipeline.input(rows))
    return {"prediction": prediction, "log_proba": log_proba}
