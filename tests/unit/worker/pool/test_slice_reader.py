"""Slices of stored rows, read from a folder or by range requests."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shared.bulk import Slice, Source
from shared.errors import ObjectStoreUnavailable
from shared.objects import ObjectStore
from tests.stored_rows import write_rows
from worker.pool.slice_reader import SliceReader

N_ROWS = 100
TABLE = pa.table({"f0": range(N_ROWS), "f1": [f"text {row}" for row in range(N_ROWS)]})
ERRORS = [None if row % 7 else f"row {row} is bad" for row in range(N_ROWS)]


class Remote(ObjectStore):
    """A folder without paths, as other stores are; notes what is requested."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.requests: list[tuple[int, int]] = []

    def local_path(self, key: str) -> None:
        del key

    def read(self, key: str, start: int, n_bytes: int) -> memoryview:
        self.requests.append((start, n_bytes))
        return super().read(key, start, n_bytes)


@pytest.fixture(params=[ObjectStore, Remote])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    opened: ObjectStore = request.param.open(str(tmp_path))
    return opened


@pytest.fixture
def source(store: ObjectStore) -> Source:
    return write_rows(store, "sepal/rows", TABLE, carried={"id": [f"id {row}" for row in range(N_ROWS)]}, errors=ERRORS)


@pytest.mark.parametrize("part", [Slice(0, 100), Slice(0, 16), Slice(5, 3), Slice(15, 2), Slice(40, 60), Slice(99, 1)])
def test_slice_has_its_rows_without_carried_columns(store: ObjectStore, source: Source, part: Slice) -> None:
    expected = TABLE.append_column("error", pa.array(ERRORS, pa.string())).slice(part.first_row, part.n_rows)
    assert SliceReader(store).read(source, part).equals(expected)


def test_rows_that_are_gone_are_a_file_that_is_not_found(store: ObjectStore, source: Source) -> None:
    rows = SliceReader(store)
    rows.read(source, Slice(0, 1))
    store.delete([source.key])
    with pytest.raises(FileNotFoundError):
        rows.read(source, Slice(50, 1))


def test_slice_of_a_remote_object_takes_one_request(tmp_path: Path) -> None:
    store = Remote.open(str(tmp_path))
    big = pa.table({"f0": range(200_000)})
    source = write_rows(store, "sepal/rows", big, batch_rows=1024)
    rows = SliceReader(store)
    for first_row in (0, 1000, 150_000, 190_000):
        store.requests.clear()
        assert rows.read(source, Slice(first_row, 10_000)).equals(big.slice(first_row, 10_000))
        assert len(store.requests) == 1 + (first_row == 0)
        assert sum(n_bytes for _, n_bytes in store.requests) < source.n_bytes / 5


def test_only_the_latest_remote_objects_stay_open(tmp_path: Path) -> None:
    store = Remote.open(str(tmp_path))
    sources = [write_rows(store, f"sepal/rows-{number}", TABLE.slice(number)) for number in range(3)]
    rows = SliceReader(store)
    for source in (*sources, *sources):
        assert rows.read(source, Slice(0, 1)).num_rows == 1
    assert len(store.requests) == 12
    rows.read(sources[-1], Slice(1, 1))
    assert len(store.requests) == 13


class Frozen(Remote):
    """Answers nothing after the footer."""

    def read(self, key: str, start: int, n_bytes: int) -> memoryview:
        if self.requests:
            raise ObjectStoreUnavailable
        return super().read(key, start, n_bytes)


def test_outage_is_raised_as_such(tmp_path: Path) -> None:
    store = Frozen.open(str(tmp_path))
    source = write_rows(store, "sepal/rows", pa.table({"f0": range(200_000)}), batch_rows=1024)
    with pytest.raises(ObjectStoreUnavailable):
        SliceReader(store).read(source, Slice(0, 10))


def test_unreadable_folder_is_an_outage(tmp_path: Path) -> None:
    store = ObjectStore.open(str(tmp_path))
    source = write_rows(store, "sepal/rows", TABLE)
    path = store.local_path("sepal/rows")
    assert path is not None
    path.unlink()
    path.mkdir()
    with pytest.raises(ObjectStoreUnavailable):
        SliceReader(store).read(source, Slice(0, 1))


def test_file_is_unmapped_with_its_rows(tmp_path: Path) -> None:
    store = ObjectStore.open(str(tmp_path))
    source = write_rows(store, "sepal/rows", TABLE)
    table = SliceReader(store).read(source, Slice(0, 1))
    path = str(tmp_path / "sepal/rows")
    assert path in Path("/proc/self/maps").read_text()
    del table
    assert path not in Path("/proc/self/maps").read_text()
