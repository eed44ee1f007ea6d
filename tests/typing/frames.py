"""A program with NumPy arrays and polars data frames, which have type hints; pandas and pyarrow have none."""

from typing import Any

import numpy
import polars
from typing_extensions import assert_type

from sepal_client import AsyncSepal, Result, Sepal


async def main() -> None:
    """Score data frames: the result is one of the same library."""
    score(Sepal())
    assert_type(await AsyncSepal().score(polars.DataFrame({"a": [1.5]})), polars.DataFrame)


def score(sepal: Sepal) -> None:
    """Score and predict tables."""
    frame = polars.DataFrame({"a": [1.5]})
    assert_type(sepal.score(frame, carry=["id"]), polars.DataFrame)
    assert_type(sepal.predict(frame), Result)
    assert_type(sepal.predict(numpy.zeros((2, 4))), Result)
    assert_type(sepal.predict(frame).array("proba"), numpy.ndarray[Any, Any])
    sepal.score(frame, delimiter=";")  # type: ignore[call-overload]
