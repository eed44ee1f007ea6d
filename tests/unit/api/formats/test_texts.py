"""Equal rows are formatted once, and every row gets the text of its own values."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from api.formats import texts

N_ROWS = 3000
INF = np.inf


def batch_of(**columns: Any) -> Any:
    return pa.record_batch({name: pa.array(values) for name, values in columns.items()})


def written(batch: Any) -> tuple[list[str], list[int]]:
    """Write the rows of a batch as `[values]`; return them, and how many rows each call was to write."""
    n_rows: list[int] = []

    def write(some: Any) -> Any:
        n_rows.append(some.num_rows)
        return pa.array([repr(row) for row in some.to_pylist()])

    return texts.encode_distinct_rows(batch, write).to_pylist(), n_rows


def chosen(n_values: int) -> NDArray[np.int64]:
    return np.random.default_rng(n_values).integers(0, n_values, N_ROWS)


@pytest.mark.parametrize(
    "batch",
    [
        batch_of(a=chosen(3), b=np.array([0.0, -0.0, -INF, INF])[chosen(4)], c=np.array([0.1, np.nan])[chosen(2)]),
        batch_of(a=np.array([0.0, -INF])[chosen(2)], b=np.array([-INF, 0.0])[chosen(2)], c=chosen(5)),
        batch_of(a=chosen(3), b=[None if value else 1.5 for value in chosen(2)]),
        batch_of(a=np.array(["x", "y"])[chosen(2)].tolist(), b=np.array([0.5, -0.5], np.float32)[chosen(2)]),
        batch_of(a=np.repeat(2, N_ROWS)),
    ],
    ids=["numbers", "infinities", "nulls", "texts", "one"],
)
def test_rows_that_are_alike_are_written_once(batch: Any) -> None:
    lines, n_rows = written(batch)
    assert lines == [repr(row) for row in batch.to_pylist()]
    assert n_rows == [len(set(lines))]


def test_rows_with_one_hash_are_not_mistaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_hash_rows", lambda columns: np.zeros(len(columns[0]), np.uint64))
    batch = batch_of(a=chosen(3), b=np.array([0.0, -0.0])[chosen(2)])
    lines, n_rows = written(batch)
    assert (lines, n_rows) == ([repr(row) for row in batch.to_pylist()], [6])


def test_rows_that_differ_are_written_at_once() -> None:
    batch = batch_of(a=np.arange(N_ROWS))
    assert written(batch) == ([repr(row) for row in batch.to_pylist()], [N_ROWS])
