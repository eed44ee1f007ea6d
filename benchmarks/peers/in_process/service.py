"""The service of the tutorial: FastAPI validates, and the pipeline runs in the web process.

An `async def` endpoint and a model that is loaded on import, as in tutorials on serving scikit-learn with FastAPI.
`uvicorn[standard]` brings uvloop and httptools. One uvicorn process, like the one process with the model that every
system has in this benchmark. `in_process_cores` is the same service with `--workers`, a process for each core,
which is the only setting that raises its throughput: requests are not batched.
"""

from types import GenericAlias
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, GetPydanticSchema

from benchmarks.peers.pipeline import Pipeline

VALUES: dict[str, Any] = {"float64": float | None, "int64": int, "str": str | None}

app = FastAPI()
pipeline = Pipeline()


def row_type() -> GenericAlias:
    """Return the type of a row: a value of each column's type; in a matrix no value may be missing."""
    if pipeline.dtypes is None:
        return GenericAlias(tuple, (float,) * pipeline.n_columns)
    return GenericAlias(tuple, tuple(VALUES[dtype] for dtype in pipeline.dtypes.values()))


Row = Annotated[tuple[Any, ...], GetPydanticSchema(lambda _, handler: handler(row_type()))]


class Body(BaseModel):
    """The body of a request."""

    data: list[Row]


@app.post("/predict")
async def predict(body: Body) -> dict[str, list[Any]]:
    """Score the rows."""
    prediction, log_proba = pipeline.predict(pipeline.input(body.data))
    return {"prediction": prediction, "log_proba": log_proba}
