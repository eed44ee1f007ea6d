"""The usual combination of FastAPI and Celery: one task per request, and `.get()` to wait for its result.

The route is a plain `def`, because `.get()` blocks: FastAPI runs it in its pool of 40 threads. Redis is broker and
result backend. Celery has its defaults, and one prefork pool process, which loads the model when it starts.
"""

from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from tasks import score

Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class Iris(BaseModel):
    """The body of a request."""

    data: list[Row]


app = FastAPI()


@app.post("/predict")
def predict(iris: Iris) -> dict[str, list[Any]]:
    """Score the rows in a worker, and wait for the result."""
    result: dict[str, list[Any]] = score.delay(iris.data).get()
    return result
