"""Rows of matrices and texts are reproduced exactly, and written in their natural form."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.request_path import RequestPath
from training.sample import choose_example_indices, to_client_rows

MATRICES = {
    "float64": np.array([[0.1, -0.0], [1e-300, 1e300]]),
    "float64 with NaN": np.array([[0.1, np.nan], [np.nan, -0.0]]),
    "float32": np.array([[0.1, 1e-45], [3.4e38, 0.3]], dtype=np.float32),
    "float32 with NaN": np.array([[0.1, np.nan]], dtype=np.float32),
    "int64": np.array([[2**63 - 1, -(2**63)]]),
    "uint8": np.array([[0, 255]], dtype=np.uint8),
    "uint64": np.array([[2**64 - 1, 0]], dtype=np.uint64),
    "bool": np.array([[True, False]]),
    "in Fortran's order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_matrix_arrives_as_it_was(kind: str) -> None:
    X = MATRICES[kind]
    path = RequestPath.to(X)
    found = path.decode(path.batch(path.rows_of(X), 1)[0])
    assert (found.dtype, found.shape) == (X.dtype, X.shape)
    assert found.tobytes() == X.tobytes()


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series, pl.Series])
def test_texts_arrive_as_they_were(kind: Any) -> None:
    texts = ["", "a,b", 'Zürich "NaN"\n', "東京 🐧"]
    path = RequestPath.to(kind(texts))
    assert path.decode(path.batch(path.rows_of(kind(texts)), 1)[0]) == texts


@pytest.mark.parametrize(
    "X",
    [
        np.array([[0.1]], dtype=np.float32),
        pd.DataFrame({"a": np.array([0.1], dtype=np.float32)}),
        pd.DataFrame({"a": [0.1]}).astype("Float32"),
        pl.DataFrame({"a": [0.1]}, schema={"a": pl.Float32}),
    ],
)
def test_float32_is_written_with_its_own_digits(X: Any) -> None:
    path = RequestPath.to(X)
    assert path.rows_of(X) == [[0.1]]
    seen = path.card.input.columns[0].seen
    assert seen is not None
    assert seen.minimum == seen.maximum == 0.1


def test_examples_are_complete_rows_far_apart() -> None:
    missing = np.zeros((10, 2), dtype=bool)
    missing[0, 0] = missing[5, 1] = True
    assert choose_example_indices(missing) == [1, 6]
    assert choose_example_indices(np.ones((10, 2), dtype=bool)) == [0, 5]


def test_rows_of_a_table_hold_plain_values() -> None:
    X = pd.DataFrame({"when": pd.to_datetime(["2026-01-31"]).tz_localize("Europe/Berlin"), "n": [np.int8(1)]})
    assert to_client_rows(RequestPath.to(X).card.input, X) == [["2026-01-30T23:00:00.000000Z", 1]]
