"""Results in every format: exact values, order, windows and errors."""

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore

from api.bulk.wire import ResultJob
from api.formats.result_rows import ResultRows
from api.formats.writing import ROW_GROUP_ROWS, write_result
from shared.bulk import SliceResult, Source
from shared.names import OnError, Output
from shared.objects import ObjectStore
from tests.stored_results import result_schema, store_result
from tests.tables import FORMATS, Columns, exact, parse_table
from worker.pool.encoding import encode_items

FLOATS = [0.0, -0.0, -np.inf, np.inf, np.nan, None, 0.1, 1.0, 1e16, 1e22, 5e-324, 1.7976931348623157e308, 1e-5, 1 / 3]
TEXTS = [
    "a",
    "",
    None,
    'say "x"',
    "two\nlines",
    "a\rb",
    "=1+1",
    "a,b",
    " edge ",
    "NaN",
    "null",
    "\\",
    "Ä 好 😀",
    "\x01\t",
]
WINDOWS = [(0, None), (0, 50), (3, 5), (17, 20), (49, None), (50, 10), (7, 0), (60, 3)]

Stored = tuple[Source, tuple[SliceResult, ...]]


class Sink:
    """A file in memory."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.closed = False

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        self.content += view
        return len(view)

    def flush(self) -> None:
        pass


@pytest.fixture(params=["mapped", "read"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> ObjectStore:
    """A folder, as itself and as any other store, whose objects cannot be mapped."""
    return ObjectStore.open(str(tmp_path)) if request.param == "mapped" else ObjectStore(LocalStore(tmp_path), None)


def written(store: ObjectStore, form: str, stored: Stored, *, head: bytes = b"", **window: Any) -> bytes:
    sink = Sink()
    write_result(ResultJob(form, *stored, head=head, **window), sink, store)
    return bytes(sink.content)


def rows_of(store: ObjectStore, form: str, stored: Stored, columns: Columns, **window: Any) -> list[str]:
    content = written(store, form, stored, **window)
    return exact(parse_table(content, form, columns, window.get("first_row", 0)))


def expected(table: Any, columns: Columns) -> list[str]:
    values = [
        [value if value is None or kind is str else kind(value) for value in table.column(name).to_pylist()]
        for name, kind in columns.items()
    ]
    return exact(list(zip(*values, strict=True)))


def table_of(columns: dict[str, tuple[Any, Any]], *, has_targets: bool = False) -> Any:
    """Make a table of results, from each column's values and type."""
    schema = result_schema({name: kind for name, (_, kind) in columns.items()}, has_targets=has_targets)
    return pa.table([pa.array(values, kind) for values, kind in columns.values()], schema=schema)


def fifty_rows() -> tuple[Any, Any, Columns]:
    """Make results, carried columns, and the columns of both."""
    results = table_of({
        "prediction": (range(50), pa.int64()),
        "log_proba_a": ([-row / 7 for row in range(50)], pa.float64()),
        "log_proba_b": ([None if row % 9 == 0 else -np.inf for row in range(50)], pa.float64()),
    })  # fmt: skip
    carried = pa.table({
        "id": [f"{row:06}" for row in range(50)],
        "weight": [row / 3 for row in range(50)],
        "is new": [None if row % 5 == 0 else row % 2 == 0 for row in range(50)],
    })  # fmt: skip
    columns = {
        "id": str,
        "weight": float,
        "is new": bool,
        "prediction": int,
        "log_proba_a": float,
        "log_proba_b": float,
    }
    return results, carried, columns


def both(carried: Any, results: Any) -> Any:
    return pa.table([*carried.columns, *results.columns], names=[*carried.schema.names, *results.schema.names])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("values", "kind", "python"),
    [
        (FLOATS, pa.float64(), float),
        (FLOATS, pa.float32(), np.float32),
        ([0.5, -np.inf, None], pa.float16(), float),
        ([2**63 - 1, -(2**63), 0, None], pa.int64(), int),
        ([2**64 - 1, 0, None], pa.uint64(), int),
        ([-128, 127, None], pa.int8(), int),
        ([True, False, None], pa.bool_(), bool),
        (TEXTS, pa.string(), str),
        (TEXTS, pa.large_string(), str),
        ([None, None], pa.null(), str),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else "",
)
@pytest.mark.parametrize("repeats", [1, 200])  # few values of many rows are written once each
def test_value_of_every_type_is_exact(
    store: ObjectStore, form: str, values: list[Any], kind: Any, python: type, repeats: int
) -> None:
    values = values * repeats
    table = table_of({"prediction": (values, kind), "scores": ([0] * len(values), pa.int64())})
    columns = {"prediction": python, "scores": int}
    assert rows_of(store, form, store_result(store, table, [len(table)]), columns) == expected(table, columns)


@pytest.mark.parametrize("form", FORMATS)
def test_many_different_values_are_exact(store: ObjectStore, form: str) -> None:
    numbers = np.random.default_rng(0).normal(size=3000) * 10.0 ** np.arange(-30, 30).repeat(50)
    table = table_of({
        "prediction": ([f"text {number}" for number in numbers], pa.string()),
        "proba_a": (numbers, pa.float64()),
        "proba_b": (numbers.astype(np.float32), pa.float32()),
    })  # fmt: skip
    columns = {"prediction": str, "proba_a": float, "proba_b": np.float32}
    assert rows_of(store, form, store_result(store, table, [3000]), columns) == expected(table, columns)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_numbers_have_the_text_that_predict_gives_them(store: ObjectStore, dtype: Any) -> None:
    numbers = np.array([value for value in FLOATS if value is not None], np.float64)
    with np.errstate(over="ignore"):
        numbers = numbers.astype(dtype)
    stored = store_result(store, pa.table({"prediction": numbers}), [len(numbers)])
    lines = written(store, "ndjson", stored).splitlines()
    assert lines == [b'{"prediction":%b}' % item for item in encode_items(numbers)]


@pytest.mark.parametrize("form", FORMATS)
def test_datetimes_are_iso_8601(store: ObjectStore, form: str) -> None:
    days = np.array(["2020-02-29", "1969-12-31", "NaT"], "datetime64[D]")
    moments = np.array(["2020-02-29T12:00:00.000001", "NaT", "1677-09-22T00:00:00"], "datetime64[us]")
    table = table_of({"prediction": (moments, pa.timestamp("us")), "scores": (days, pa.date32())})
    rows = parse_table(written(store, form, store_result(store, table, [3])), form, {"prediction": str, "scores": str})
    assert [row[1] for row in rows] == ["2020-02-29", "1969-12-31", None]
    assert [row[0] and row[0].removesuffix(".000000") for row in rows] == [
        "2020-02-29T12:00:00.000001", None, "1677-09-22T00:00:00",
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("first", "n_rows"), WINDOWS)
def test_window_joins_slices_and_carried_columns(store: ObjectStore, form: str, first: int, n_rows: int | None) -> None:
    results, carried, columns = fifty_rows()
    stored = store_result(store, results, [1, 19, 3, 27], carried, batch_rows=16)
    window = both(carried, results).slice(first, n_rows)
    assert rows_of(store, form, stored, columns, first_row=first, n_rows=n_rows) == expected(window, columns)


@pytest.mark.parametrize("form", FORMATS)
def test_rows_end_where_the_results_end(store: ObjectStore, form: str) -> None:
    results, carried, columns = fifty_rows()
    source, slices = store_result(store, results, [20, 20, 10], carried)
    found = rows_of(store, form, (source, slices[:2]), columns, first_row=30)
    assert found == expected(both(carried, results).slice(30, 10), columns)


@pytest.mark.parametrize("form", FORMATS)
def test_rows_without_results_have_reasons(store: ObjectStore, form: str) -> None:
    results = table_of({
        "prediction": ([1, None, 3, 4], pa.int64()),
        "log_proba_a": ([0.5, None, None, -np.inf], pa.float64()),
        "log_proba_b": ([0.5, None, 0.5, -np.inf], pa.float64()),
        "error": ([None, 'Column "a", line 3: no number', None, None], pa.string()),
    })  # fmt: skip
    source, slices = store_result(store, results, [2, 1, 1])
    slices = (*slices[:2], SliceResult(3, 1, "", 0, 1, "It crashed."))
    columns = {"prediction": int, "log_proba_a": float, "log_proba_b": float, "error": str}
    assert rows_of(store, form, (source, slices), columns) == exact([
        (1, 0.5, 0.5, None),
        (None, None, None, 'Column "a", line 3: no number'),
        (3, None, 0.5, None),
        (None, None, None, "It crashed."),
    ])  # fmt: skip
    assert rows_of(store, form, (source, slices), columns, n_rows=1) == exact([(1, 0.5, 0.5, None)])
    last = rows_of(store, form, (source, slices), columns, first_row=3)
    assert last == exact([(None, None, None, "It crashed.")])


@pytest.mark.parametrize("form", FORMATS)
def test_a_result_may_have_reasons_only(store: ObjectStore, form: str) -> None:
    source = Source("sepal/none", 2, 0, 16, OnError.REPORT, (Output.PREDICTION,))
    slices = tuple(SliceResult(row, 1, "", 0, 1, f"Row {row} crashed.") for row in range(2))
    found = rows_of(store, form, (source, slices), {"prediction": int, "error": str})
    assert found == exact([(None, "Row 0 crashed."), (None, "Row 1 crashed.")])


@pytest.mark.parametrize("form", FORMATS)
def test_a_result_without_a_slice_has_no_rows(store: ObjectStore, form: str) -> None:
    source = Source("sepal/none", 2, 0, 16)
    assert rows_of(store, form, (source, ()), {"prediction": int}) == []


def test_document_has_the_shape_of_predict(store: ObjectStore) -> None:
    results = table_of({
        "prediction": (["a", None], pa.string()),
        "log_proba_a": ([0.0, None], pa.float64()),
        "log_proba_b": ([-np.inf, None], pa.float64()),
        "decision": ([0.5, None], pa.float64()),
        "transform_0": ([1.5, None], pa.float32()),
        "error": ([None, "Bad."], pa.string()),
    })  # fmt: skip
    stored = store_result(store, results, [2], pa.table({'the "id"': ["01", "02"], "n": [None, 1]}))
    document = json.loads(written(store, "json", stored, head=b'"id":"x","status":"succeeded"'))
    assert document == {
        "prediction": ["a", None],
        "log_proba": [[0.0, "-Infinity"], None],
        "decision": [0.5, None],
        "transform": [[1.5], None],
        "carried": {'the "id"': ["01", "02"], "n": [None, 1]},
        "errors": [{"pointer": "/data/1", "detail": "Bad."}],
        "id": "x",
        "status": "succeeded",
    }
    window = json.loads(written(store, "json", stored, first_row=1, n_rows=1))
    assert window["errors"] == [{"pointer": "/data/1", "detail": "Bad."}]


def test_document_lists_the_values_of_each_target(store: ObjectStore) -> None:
    columns = {
        "prediction_0": ([1], pa.int64()),
        "prediction_1": ([2], pa.int64()),
        "proba_0_1": ([0.25], pa.float64()),
        "proba_0_2": ([0.75], pa.float64()),
        "proba_1_1": ([1.0], pa.float64()),
    }
    for has_targets, proba in (True, [[0.25, 0.75], [1.0]]), (False, [0.25, 0.75, 1.0]):
        stored = store_result(store, table_of(columns, has_targets=has_targets), [1])
        assert json.loads(written(store, "json", stored)) == {"prediction": [[1, 2]], "proba": [proba]}


def test_missing_value_alone_in_a_line_is_no_blank_line(store: ObjectStore) -> None:
    stored = store_result(store, pa.table({"prediction": ["a", None, "b"]}), [3])
    assert written(store, "csv", stored) == b'prediction\na\n""\nb\n'


def test_names_are_escaped(store: ObjectStore) -> None:
    stored = store_result(store, pa.table({'log_proba_"a,b"': [0.5], "prediction": [1]}), [1])
    assert written(store, "csv", stored) == b'"log_proba_""a,b""",prediction\n0.5,1\n'
    assert written(store, "ndjson", stored) == b'{"log_proba_\\"a,b\\"":0.5,"prediction":1}\n'


@pytest.mark.parametrize("form", FORMATS)
def test_bytes_do_not_depend_on_the_slices(store: ObjectStore, form: str) -> None:
    results, carried, _ = fifty_rows()
    stored = [store_result(store, results, sizes, carried) for sizes in ([50], [1, 19, 3, 27])]
    assert written(store, form, stored[0]) == written(store, form, stored[0]) == written(store, form, stored[1])


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_tables_say_which_output_a_column_is_a_part_of(store: ObjectStore, form: str) -> None:
    results, carried, _ = fifty_rows()
    content = written(store, form, store_result(store, results, [50], carried))
    schema = pa.ipc.open_stream(content).schema if form == "arrow" else pq.read_schema(io.BytesIO(content))
    assert [field.metadata for field in schema] == [None, None, None, *(field.metadata for field in results.schema)]
    assert not schema.metadata


def test_row_groups_have_a_fixed_size(store: ObjectStore) -> None:
    results = pa.table({"prediction": np.arange(ROW_GROUP_ROWS + 10)})
    content = written(store, "parquet", store_result(store, results, [1000, ROW_GROUP_ROWS - 990], batch_rows=2**16))
    metadata = pq.read_metadata(io.BytesIO(content))
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [ROW_GROUP_ROWS, 10]
    assert pq.read_table(io.BytesIO(content)).column("prediction").to_pylist() == list(range(ROW_GROUP_ROWS + 10))


def test_batches_of_long_rows_have_few_of_them(store: ObjectStore) -> None:
    texts = ["x" * 1000] * 100 + ["y"] * 100
    stored = store_result(store, pa.table({"prediction": texts}), [40, 160])
    batches = list(ResultRows(store, *stored, 0, None).batches(max_bytes=10_000))
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == texts
    assert max(batch.nbytes for batch in batches) < 50_000


@pytest.mark.parametrize("form", FORMATS)
def test_slice_without_any_result_has_reasons_only(store: ObjectStore, form: str) -> None:
    bad = pa.table({"error": ["Bad.", "Worse."]})
    source, first = store_result(store, bad, [2])
    _, second = store_result(
        store, table_of({"prediction": ([3, 4], pa.int64()), "error": ([None, None], pa.string())}), [2]
    )
    slices = (msgspec.structs.replace(first[0], n_bad=2), msgspec.structs.replace(second[0], first_row=2))
    found = rows_of(store, form, (source, slices), {"prediction": int, "error": str})
    assert found == exact([(None, "Bad."), (None, "Worse."), (3, None), (4, None)])


def test_result_that_ends_early_is_an_error(store: ObjectStore) -> None:
    source, slices = store_result(store, pa.table({"prediction": [1, 2]}), [2])
    with pytest.raises(ValueError, match="1 rows early"):
        written(store, "csv", (source, (msgspec.structs.replace(slices[0], n_rows=3),)))


def test_large_object_is_read_in_parts(tmp_path: Path) -> None:
    store = ObjectStore(LocalStore(tmp_path), None)
    texts = [f"{row:09}" * 4 for row in range(500_000)]
    stored = store_result(store, pa.table({"prediction": texts}), [500_000], batch_rows=2**16)
    assert stored[1][0].n_bytes > 2**24
    content = written(store, "csv", stored, first_row=250_000, n_rows=3)
    assert content.decode().split() == ["prediction", *texts[250_000:250_003]]
