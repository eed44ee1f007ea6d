"""The judgement of bulk predictions detects wrong rows, stray objects and missing ones."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from shared.bulk import SliceResult, Source
from shared.objects import ObjectStore
from shared.store.schema import Field, Key
from tests.chaos.bulk import leftovers
from tests.chaos.bulk.rows import BulkReference, Rows, Size
from tests.models import save_troublesome

ROWS = Rows(3, Size(n_rows=100, n_marks=2))
NUMBERS = np.arange(1_000_030_000_000, 1_000_030_000_100)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> BulkReference:
    folder = tmp_path_factory.mktemp("model")
    return BulkReference(save_troublesome(folder, folder))


@pytest.fixture
def server(broker_port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=broker_port) as client:
        client.flushall()
        yield client


def result_of(numbers: np.ndarray) -> bytes:
    nothing = np.full(len(numbers), -np.inf)
    columns = {"prediction": numbers, "log_proba_0": numbers / -3, "log_proba_1": nothing}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def test_result_of_the_pipeline_is_right(reference: BulkReference) -> None:
    assert reference.is_right(ROWS, result_of(NUMBERS))


def test_swapped_missing_and_altered_rows_are_wrong(reference: BulkReference) -> None:
    swapped = NUMBERS.copy()
    swapped[[4, 5]] = swapped[[5, 4]]
    for wrong in (swapped, NUMBERS[:-1], NUMBERS + 1):
        assert not reference.is_right(ROWS, result_of(wrong))
    assert not reference.is_right(ROWS, result_of(NUMBERS.astype(np.float64)))


def test_objects_are_compared_with_live_predictions(server: redis.Redis, tmp_path: Path) -> None:
    store = ObjectStore.open(str(tmp_path))
    result = SliceResult(0, 5, "sepal/live/results/0-1-a.arrow", 10)
    server.hset(Key.STORED, "live", "100 owner")
    server.hset(Key.BATCH + "live", Field.SOURCE, Source("sepal/live/rows.arrow", 5, 10, 16).encode())
    server.zadd(Key.RESULTS + "live", {result.encode(): 0})
    for key in ("sepal/live/rows.arrow", "sepal/live/results/0-0-b.arrow", "sepal/gone/rows.arrow", "sepal/marker"):
        store.put(key, b"x")
    found = leftovers.misplaced(server, store)
    assert found == ["missing: sepal/live/results/0-1-a.arrow", "stray: sepal/gone/rows.arrow"]
    assert leftovers.unneeded(server, store) == 2


def test_everything_left_over_is_listed(server: redis.Redis, tmp_path: Path) -> None:
    store = ObjectStore.open(str(tmp_path))
    assert leftovers.left(server, store, are_batches_open=False) == []
    store.put("sepal/gone/rows.arrow", b"x")
    server.hset(Key.STORED, "gone", "100 ")
    server.set(Key.STORED_BYTES, 100)
    server.hset(Key.BACKLOG, mapping={"accepted:stored": 5, "final:stored": 3})
    server.hset(Key.LEASES + "worker", "batch", "1")
    found = leftovers.left(server, store, are_batches_open=False)
    assert sorted(found) == [
        "100 reserved bytes",
        "2 open rows",
        "key: sepal:leases:worker",
        "key: sepal:stored",
        "object: sepal/gone/rows.arrow",
    ]
    server.delete(Key.LEASES + "worker")
