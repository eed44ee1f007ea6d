"""The Celery worker: `celery --app tasks worker --concurrency 1`."""

import os
from math import inf
from typing import Any

import joblib
import numpy as np
from celery import Celery
from celery.signals import worker_process_init

app = Celery("tasks", broker=os.environ["BENCH_REDIS_URL"], backend=os.environ["BENCH_REDIS_URL"])
models: dict[str, Any] = {}


@worker_process_init.connect
def load_model(**_: object) -> None:
    """Load the pipeline once per pool process."""
    models["iris"] = joblib.load(os.environ["BENCH_MODEL"])


@app.task
def score(rows: list[list[float]]) -> dict[str, list[Any]]:
    """Score the rows of one request."""
    pipeline = models["iris"]
    with np.errstate(divide="ignore"):  # the log of a zero probability
        log_proba = pipeline.predict_log_proba(rows).tolist()
    return {
        "prediction": pipeline.predict(rows).tolist(),
        "log_proba": [["-Infinity" if value == -inf else value for value in row] for row in log_proba],
    }
