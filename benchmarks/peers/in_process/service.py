"""The service of the tutorial: FastAPI validates, and the pipeline runs in the web process.

One uvicorn process, an `async def` endpoint and a model that is loaded on import, as in tutorials on serving
scikit-learn with FastAPI. `uvicorn[standard]` brings uvloop and httptools. A second process would use the second core,
but in this benchmark every system has one process with the model.
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
    """The body of a request."""

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
