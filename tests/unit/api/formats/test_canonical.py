"""The canonical rows: record batches of one size, however the upload is divided."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from api.formats.canonical import CanonicalWriter, canonical_schema
from shared.errors import BodyTooLarge
from shared.objects import ObjectStore
from tests.unit.api.formats.uploads import KEY
from tests.unit.api.http.cards import CARDS

_IRIS = canonical_schema(CARDS["iris"].input.columns, [], has_error_column=False)
_TEXTS = canonical_schema(CARDS["texts"].input.columns, [], has_error_column=False)


def _write(folder: Path, schema: Any, pieces: list[Any]) -> tuple[CanonicalWriter, list[int], list[int]]:
    reported: list[int] = []
    with CanonicalWriter.open(ObjectStore.open(str(folder)), KEY, schema, reported.append) as writer:
        for piece in pieces:
            writer.write(piece)
    with pa.OSFile(str(folder / KEY)) as file, pa.ipc.open_file(file) as reader:
        rows = reader.read_all()
        assert rows.equals(pa.Table.from_batches(pieces, schema))
        assert writer.n_rows == rows.num_rows
        assert writer.n_bytes == (folder / KEY).stat().st_size
        return writer, [reader.get_batch(index).num_rows for index in range(reader.num_record_batches)], reported


def _iris(n_rows: int, start: int = 0) -> Any:
    values = pa.array(range(start, start + n_rows), pa.float64())
    return pa.RecordBatch.from_arrays([values] * 4, schema=_IRIS)


def _texts(n_rows: int, n_characters: int) -> Any:
    return pa.RecordBatch.from_arrays([pa.array(["x" * n_characters] * n_rows)], schema=_TEXTS)


@pytest.mark.parametrize("sizes", [[1], [7, 100_000], [100_000, 7], [10_000] * 30, [1] * 100, [300_000]])
def test_all_record_batches_but_the_last_have_one_size(tmp_path: Path, sizes: list[int]) -> None:
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    writer, batches, _ = _write(
        tmp_path, _IRIS, [_iris(size, start) for size, start in zip(sizes, starts, strict=True)]
    )
    assert set(batches[:-1]) <= {writer.batch_rows}
    assert 1 <= batches[-1] <= writer.batch_rows
    assert writer.batch_rows & (writer.batch_rows - 1) == 0


def test_record_batch_has_about_a_megabyte(tmp_path: Path) -> None:
    assert _write(tmp_path, _IRIS, [_iris(200_000)])[0].batch_rows == 2**15
    assert _write(tmp_path, _TEXTS, [_texts(200, 10_000)])[0].batch_rows == 2**7
    assert _write(tmp_path, _TEXTS, [_texts(4, 2**20)])[0].batch_rows == 2**4
    assert _write(tmp_path, _TEXTS, [_texts(100_000, 10)])[0].batch_rows == 2**12


def test_written_bytes_are_reported_every_few_megabytes(tmp_path: Path) -> None:
    writer, _, reported = _write(tmp_path, _IRIS, [_iris(100_000)] * 10)
    assert reported == sorted(reported)
    assert 2**23 <= reported[0] < 2**24
    assert writer.n_bytes - reported[-1] < 2**24


def _fail(folder: Path, pieces: list[Any], error: Exception | None) -> None:
    with CanonicalWriter.open(ObjectStore.open(str(folder)), KEY, pieces[0].schema, lambda _: None) as writer:
        for piece in pieces:
            writer.write(piece)
        if error is not None:
            raise error


def test_nothing_is_left_if_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="turned bad"):
        _fail(tmp_path, [_iris(500_000)], ValueError("turned bad"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_rows_that_become_far_longer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BodyTooLarge, match="row 102400 on are much longer"):
        _fail(tmp_path, [_texts(102_400, 10), *[_texts(200, 2**16)] * 6], None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
