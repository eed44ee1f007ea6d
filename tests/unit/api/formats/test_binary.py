"""Arrow and Parquet: the types accepted for each column, and the memory used for large parts."""

import io
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest
from pyarrow import parquet

from shared.columns import Column, Unit, ValueType
from shared.names import OnError
from tests.malformed.case import ARROW, PARQUET
from tests.unit.api.formats.uploads import refusal, upload
from tests.unit.api.http.cards import card, category, column

_T: Final = ValueType
_BOTH: Final = pytest.mark.parametrize("media_type", [ARROW, PARQUET])
_NAN: Final = float("nan")
_NOON: Final = datetime(2024, 2, 29, 12, 0, 0)


def _content(table: Any, media_type: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    if media_type == PARQUET:
        parquet.write_table(table, sink, **options)
    else:
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(table)
    return sink.getvalue()


def _read(folder: Path, each: Column, values: Any, media_type: str) -> list[Any]:
    content = _content(pa.table({"x": values}), media_type)
    rows: list[Any] = upload(folder, card("table", each), content, media_type).columns["f0"]
    return rows


_TAKEN: Final[list[tuple[Column, Any, list[Any]]]] = [
    (column("x", _T.FLOAT64, nullable=True), pa.array([1.5, _NAN, None]), [1.5, None, None]),
    (column("x", _T.FLOAT64), pa.array([0.1], pa.float32()), [0.10000000149011612]),
    (column("x", _T.FLOAT64), pa.array([1.5], pa.float16()), [1.5]),
    (column("x", _T.FLOAT64), pa.array([2**53, -(2**53)]), [2.0**53, -(2.0**53)]),
    (column("x", _T.FLOAT64), pa.array([2**53], pa.uint64()), [2.0**53]),
    (column("x", _T.FLOAT64), pa.array([Decimal("0.1"), Decimal("123.456")]), [0.1, 123.456]),
    (column("x", _T.FLOAT64), pa.array([Decimal(10) ** 30], pa.decimal256(60, 10)), [1e30]),
    (column("x", _T.FLOAT64, nullable=True), pa.nulls(2), [None, None]),
    (column("x", _T.FLOAT64), pa.array([1.5, 2.5, 1.5]).dictionary_encode(), [1.5, 2.5, 1.5]),
    (column("x", _T.FLOAT32), pa.array([0.1, 16777217.0]), [0.10000000149011612, 16777216.0]),
    (column("x", _T.INT8), pa.array([127, -128]), [127, -128]),
    (column("x", _T.INT64), pa.array([2**62], pa.uint64()), [2**62]),
    (column("x", _T.UINT64), pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    (column("x", _T.UINT8, nullable=True), pa.array([7.0, _NAN, None]), [7, None, None]),
    (column("x", _T.INT32), pa.array([Decimal("7.00")]), [7]),
    (column("x", _T.BOOL, nullable=True), pa.array([True, None]), [True, None]),
    (column("x", _T.STRING), pa.array(["a", ""], pa.large_string()), ["a", ""]),
    (column("x", _T.STRING), pa.array(["a", "b" * 20], pa.string_view()), ["a", "b" * 20]),
    (column("x", _T.STRING), pa.array([b"a", "é".encode()]), ["a", "é"]),
    (column("x", _T.STRING), pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    (column("x", _T.STRING, nullable=True), pa.array([b"a", None]).dictionary_encode(), ["a", None]),
    (column("x", _T.DATE), pa.array([date(2024, 2, 29), date(1, 1, 1)]), ["2024-02-29", "0001-01-01"]),
    (column("x", _T.DATE), pa.array([date(2024, 2, 29)], pa.date64()), ["2024-02-29"]),
    (column("x", _T.DATE), pa.array(["2024-02-29"]), ["2024-02-29"]),
    (column("x", _T.DATETIME, unit=Unit.SECOND), pa.array([_NOON], pa.timestamp("ns")), ["2024-02-29T12:00:00"]),
    (
        column("x", _T.DATETIME, unit=Unit.NANOSECOND),
        pa.array([1, None], pa.timestamp("ns")).drop_null(),
        ["1970-01-01T00:00:00.000000001"],
    ),
    (column("x", _T.DATETIME, unit=Unit.MILLISECOND), pa.array([date(2024, 2, 29)]), ["2024-02-29T00:00:00.000"]),
    (
        column("x", _T.DATETIME, unit=Unit.SECOND, time_zone="Europe/Zurich"),
        pa.array([_NOON], pa.timestamp("us", "America/New_York")),
        ["2024-02-29T12:00:00Z"],
    ),
    (category("x", _T.STRING, "a", "b"), pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    (category("x", _T.INT64, 1, 2), pa.array([1.0, 2.0]), [1, 2]),
    (category("x", _T.FLOAT64, 0.0, 1.5), pa.array([-0.0, 1.5]), [0.0, 1.5]),
]


@_BOTH
@pytest.mark.parametrize(("each", "values", "expected"), _TAKEN)
def test_values_that_fit_are_taken(
    tmp_path: Path, media_type: str, each: Column, values: Any, expected: list[Any]
) -> None:
    assert _read(tmp_path, each, values, media_type) == expected


_REFUSED: Final[list[tuple[Column, Any, str]]] = [
    (column("x", _T.FLOAT64), pa.array([1.0, _NAN]), "must not be missing"),
    (column("x", _T.FLOAT64), pa.array([1, 2**53 + 1]), "2^53"),
    (column("x", _T.FLOAT64), pa.array([1.0, float("inf")]), "too large"),
    (column("x", _T.FLOAT32), pa.array([1.0, 3.5e38]), "range of float32"),
    (column("x", _T.FLOAT32), pa.array([1.0, float("-inf")], pa.float32()), "range of float32"),
    (column("x", _T.INT8), pa.array([1, 128]), "from -128 to 127"),
    (column("x", _T.UINT8), pa.array([1, -1]), "from 0 to 255"),
    (column("x", _T.INT64), pa.array([1, 2**63], pa.uint64()), "an integer from"),
    (column("x", _T.INT64), pa.array([1.0, 2.0**53]), "digits alone"),
    (column("x", _T.INT8), pa.array([Decimal("1.0"), Decimal("1.5")]), "1.5 is not"),
    (column("x", _T.INT8), pa.array([Decimal(1), Decimal(300)]), "300 is not"),
    (column("x", _T.STRING), pa.array(["a", "b" * 2**21]), "at most 1048576"),
    (column("x", _T.STRING), pa.array(["a", "b" * 2**21]).dictionary_encode(), "at most 1048576"),
    (column("x", _T.STRING), pa.array([b"a", b"\xff"]).dictionary_encode(), "UTF-8"),
    (column("x", _T.STRING), pa.array(["a", None]).dictionary_encode(), "must not be missing"),
    (column("x", _T.DATE), pa.array([0, 2**30], pa.int32()).cast(pa.date32()), "is not"),
    (column("x", _T.DATETIME, unit=Unit.SECOND), pa.array([0, 1500], pa.timestamp("ms")), "keeps 0 digits"),
    (column("x", _T.DATETIME, unit=Unit.NANOSECOND), pa.array([0, -(2**40)], pa.timestamp("s")), "is not"),
    (column("x", _T.DATETIME, unit=Unit.SECOND), pa.array(["2024-02-29", "x"]), '"x" is not'),
    (category("x", _T.STRING, "a", "b"), pa.array(["a", "c"]).dictionary_encode(), 'one of "a", "b"'),
    (category("x", _T.INT64, 1, 2), pa.array([1, 3]), "3 is not"),
]


@_BOTH
@pytest.mark.parametrize(("each", "values", "words"), _REFUSED)
def test_values_that_do_not_fit_are_refused_with_their_row(
    tmp_path: Path, media_type: str, each: Column, values: Any, words: str
) -> None:
    content = _content(pa.table({"x": values}), media_type)
    code, faults = refusal(tmp_path, card("table", each), content, media_type)
    assert (code, [fault.pointer for fault in faults]) == ("invalid-rows", ["/data/1/x"])
    assert faults[0].detail.startswith("Row 1, column x: ")
    assert words in faults[0].detail


@pytest.mark.parametrize(
    ("each", "values"),
    [
        (column("x", _T.DATETIME, unit=Unit.SECOND), pa.array([_NOON], pa.timestamp("s", "UTC"))),
        (column("x", _T.DATETIME, unit=Unit.SECOND, time_zone="UTC"), pa.array([_NOON], pa.timestamp("s"))),
    ],
)
def test_time_zone_must_be_there_or_not_as_the_column_has_it(tmp_path: Path, each: Column, values: Any) -> None:
    code, faults = refusal(tmp_path, card("table", each), _content(pa.table({"x": values}), ARROW), ARROW)
    assert code == "invalid-rows"
    assert "offset" in faults[0].detail


@_BOTH
def test_carried_columns_keep_their_type(tmp_path: Path, media_type: str) -> None:
    carried = {
        "bool": pa.array([True, None]),
        "int": pa.array([1, None], pa.uint8()),
        "float": pa.array([_NAN, 1.5], pa.float32()),
        "decimal": pa.array([Decimal("1.50"), None]),
        "date": pa.array([date(2024, 2, 29), None]),
        "time": pa.array([time(12, 30), None]),
        "moment": pa.array([_NOON, None], pa.timestamp("us", "Europe/Zurich")),
        "text": pa.array(["a", None], pa.large_string()),
        "mark": pa.array(["\x01", "1"]).dictionary_encode(),
        "__index_level_0__": pa.array([3, 4]),
    }
    table = pa.table({"x": pa.array([1.0, 2.0]), **carried})
    read = upload(
        tmp_path,
        card("table", column("x", _T.FLOAT64)),
        _content(table, media_type),
        media_type,
        carried=tuple(carried),
    )
    for index, (name, values) in enumerate(carried.items()):
        if name not in ("text", "mark", "float"):
            assert read.rows.column(f"c{index}").combine_chunks().equals(values)
    assert read.columns["c7"] == ["a", None]
    assert read.columns["c8"] == ['\x01"\\u0001"', "1"]
    assert str(read.columns["c2"]) == "[nan, 1.5]"


@_BOTH
def test_index_that_pandas_writes_is_ignored(tmp_path: Path, media_type: str) -> None:
    table = pa.table({"x": [1.0], "__index_level_0__": ["a"], "__index_level_1__": [[1]]})
    model = card("table", column("x", _T.FLOAT64))
    assert upload(tmp_path, model, _content(table, media_type), media_type).columns == {"f0": [1.0]}


def test_extension_types_count_as_their_storage(tmp_path: Path) -> None:
    values = pa.ExtensionArray.from_storage(pa.opaque(pa.float64(), "unit", "metre"), pa.array([1.5]))
    assert _read(tmp_path, column("x", _T.FLOAT64), values, ARROW) == [1.5]


@_BOTH
def test_repeated_texts_take_little_memory(tmp_path: Path, media_type: str) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 2000), pa.array(["x" * 2**19]))  # 1 GB
    model = card("text", column("text", _T.STRING))
    content = _content(pa.table({"text": texts}), media_type)
    before = pa.total_allocated_bytes()
    code, _ = refusal(tmp_path, model, content[: len(content) // 2], media_type)
    assert code == "malformed-upload"
    read = upload(tmp_path, model, _content(pa.table({"text": texts.slice(0, 300)}), media_type), media_type)
    assert read.source.n_rows == 300
    assert pa.total_allocated_bytes() - before < 2**29


def test_long_texts_of_one_row_group_take_little_memory(tmp_path: Path) -> None:
    texts = pa.table({"text": [f"{index} " + "x" * 10_000 for index in range(8_000)]})
    content = _content(texts, PARQUET)
    before = pa.total_allocated_bytes()
    read = upload(tmp_path, card("text", column("text", _T.STRING)), content, PARQUET)
    assert read.rows.column("f0").equals(texts.column("text"))
    assert pa.total_allocated_bytes() - before < 2**28


@_BOTH
def test_many_batches_are_read_in_order(tmp_path: Path, media_type: str) -> None:
    table = pa.table({"x": pa.array(range(300_000), pa.float64())})
    options = {"row_group_size": 7777} if media_type == PARQUET else {}
    read = upload(tmp_path, card("table", column("x", _T.FLOAT64)), _content(table, media_type, **options), media_type)
    assert read.rows.column("f0").equals(table.column("x"))


def test_dictionaries_may_be_replaced_within_a_stream(tmp_path: Path) -> None:
    first = pa.array(["a", "b"]).dictionary_encode()
    second = pa.array(["c", "a", "c"]).dictionary_encode()
    sink = io.BytesIO()
    schema = pa.schema([pa.field("x", first.type)])
    with pa.ipc.new_stream(sink, schema) as writer:
        for values in (first, second):
            writer.write_batch(pa.record_batch([values], schema=schema))
    model = card("table", column("x", _T.STRING))
    assert upload(tmp_path, model, sink.getvalue(), ARROW).columns == {"f0": ["a", "b", "c", "a", "c"]}


@_BOTH
def test_bad_values_of_a_dictionary_are_reported_in_each_of_their_rows(tmp_path: Path, media_type: str) -> None:
    values = pa.array(["a", "z", None, "b", "z"]).dictionary_encode()
    model = card("table", category("x", _T.STRING, "a", "b"))
    content = _content(pa.table({"x": values}), media_type)
    read = upload(tmp_path, model, content, media_type, on_error=OnError.REPORT)
    assert read.columns["f0"] == ["a", None, None, "b", None]
    assert [error is not None for error in read.columns["error"]] == [False, True, True, False, True]
    assert read.source.n_bad == 3
