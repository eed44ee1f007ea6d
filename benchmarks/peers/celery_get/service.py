"""FastAPI and Celery as they are usually put together: one task a request, and `.get()` to wait for it.

A plain `def` route, because `.get()` blocks: FastAPI runs it in its pool of 40 threads. Redis is broker and result
backend. Celery's defaults throughout; one prefork pool process, the model loaded when it starts.
"""

from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from tasks import score

Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class Iris(BaseModel):
    """What the client sends."""

    data: list[Row]


app = FastAPI()


@app.post("/predict")
def predict(iris: Iris) -> dict[str, list[Any]]:
    """Have a worker score the rows, and wait."""
    answer: dict[str, list[Any]] = score.delay(iris.data).get()
    return answer
