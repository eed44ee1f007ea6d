"""The tutorial's service: FastAPI validates, and the pipeline runs inside the web process.

One uvicorn process, an `async def` endpoint, the model loaded when the module is: as the tutorials on serving
scikit-learn with FastAPI have it. `uvicorn[standard]`, so that uvloop and httptools are used. A second process would
use the second core; all systems have one process that holds the model here.
"""

import os
from math import inf
from typing import Annotated, Any

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field

Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class Iris(BaseModel):
    """What the client sends."""

    data: list[Row]


app = FastAPI()
pipeline = joblib.load(os.environ["BENCH_MODEL"])


@app.post("/predict")
async def predict(iris: Iris) -> dict[str, list[Any]]:
    """Score the rows."""
    with np.errstate(divide="ignore"):  # the log of a zero probability
        log_proba = pipeline.predict_log_proba(iris.data).tolist()
    return {
        "prediction": pipeline.predict(iris.data).tolist(),
        "log_proba": [["-Infinity" if value == -inf else value for value in row] for row in log_proba],
    }
