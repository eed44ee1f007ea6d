"""Every format yields the same canonical rows, and refuses the same values."""

import io
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest
from pyarrow import parquet

from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Column, ValueType
from shared.names import OnError
from tests.bodies import ROWS, array, body, refusals
from tests.malformed.case import ARROW, CSV, JSON, NDJSON, PARQUET
from tests.unit.api.formats.uploads import refusal, upload
from tests.unit.api.http.cards import CARDS

Write = Callable[[str, list[dict[str, Any]]], bytes]
_MODELS: Final = ["iris", "penguins", "typed"]


def _csv(_model: str, rows: list[dict[str, Any]]) -> bytes:
    def cell(value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        return "" if value is None else f'"{text}"' if isinstance(value, str) else text

    lines = [",".join(cell(name) for name in rows[0])] + [",".join(map(cell, row.values())) for row in rows]
    return "\n".join(lines).encode()


def _objects(_model: str, rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"data": rows}).encode()


def _arrays(_model: str, rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"data": [list(row.values()) for row in rows]}).encode()


def _object_lines(_model: str, rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def _array_lines(_model: str, rows: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(list(row.values()))}\r\n" for row in rows).encode()


def _table(model: str, rows: list[dict[str, Any]]) -> Any:
    return pa.table(
        {
            column.name: pa.array([_native(column, row[column.name]) for row in rows], _native_type(column))
            for column in CARDS[model].input.columns
        }
    )


def _native(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.type is ValueType.DATE:
        return date.fromisoformat(value)
    return datetime.fromisoformat(value) if column.type is ValueType.DATETIME else value


def _native_type(column: Column) -> Any:
    values = column.categories or column
    if values.type is ValueType.DATETIME:
        return pa.timestamp(values.unit or "ns", values.time_zone)
    if values.type is ValueType.DATE:
        return pa.date32()
    return pa.type_for_alias(values.type.value)


def _arrow(model: str, rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    table = _table(model, rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return sink.getvalue()


def _arrow_file(model: str, rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    table = _table(model, rows)
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _parquet(model: str, rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(_table(model, rows), sink, row_group_size=100)
    return sink.getvalue()


_FORMATS: Final[dict[str, tuple[str, Write]]] = {
    "CSV": (CSV, _csv),
    "JSON arrays": (JSON, _arrays),
    "JSON objects": (JSON, _objects),
    "NDJSON arrays": (NDJSON, _array_lines),
    "NDJSON objects": (NDJSON, _object_lines),
    "Arrow stream": (ARROW, _arrow),
    "Arrow file": (ARROW, _arrow_file),
    "Parquet": (PARQUET, _parquet),
}


def _rows(model: str, n_rows: int = 250) -> list[dict[str, Any]]:
    """Make rows whose numbers differ, and whose values are missing where they may be."""
    good = {name: json.loads(value) for name, value in ROWS[model].items()}
    rows = []
    for index in range(n_rows):
        row = dict(good)
        for column in CARDS[model].input.columns:
            if column.type in FLOAT_TYPES:
                row[column.name] = index / 4
            elif column.type in INTEGER_RANGES:
                row[column.name] = index % 100
            if column.nullable and index % 3 == 1:
                row[column.name] = None
        rows.append(row)
    return rows


def _expected(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the canonical columns of rows: the values, but for the form of datetimes."""
    moments = {
        "datetime_s": "2024-02-29T12:00:00",
        "datetime_ms": "2024-02-29T12:00:00.000",
        "datetime_us": "2024-02-29T12:00:00.000000",
        "datetime_ns": "2024-02-29T12:00:00.000000000",
        "zoned": "2024-02-29T11:00:00.000000Z",
        "datetime_or_nat": "2024-02-29T12:00:00.000000",
    }
    return {
        f"f{index}": [row[name] and moments.get(name, row[name]) for row in rows] for index, name in enumerate(rows[0])
    }


@pytest.mark.parametrize("model", _MODELS)
@pytest.mark.parametrize("name", _FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, model: str) -> None:
    media_type, write = _FORMATS[name]
    rows = _rows(model)
    read = upload(tmp_path, model, write(model, rows), media_type)
    assert read.columns == _expected(rows)
    assert (read.source.n_rows, read.source.n_bad) == (250, 0)


@pytest.mark.parametrize("name", [name for name in _FORMATS if "array" not in name])
def test_columns_may_stand_in_any_order_and_nullable_ones_may_be_absent(tmp_path: Path, name: str) -> None:
    media_type, write = _FORMATS[name]
    rows = _rows("penguins")
    expected = _expected([{**row, "sex": None} for row in rows])
    shuffled = [dict(reversed([item for item in row.items() if item[0] != "sex"])) for row in rows]
    if media_type in (ARROW, PARQUET):
        table = _table("penguins", rows).drop_columns(["sex"])
        content = _written(table.select(table.column_names[::-1]), media_type)
    else:
        content = write("penguins", shuffled)
    assert upload(tmp_path, "penguins", content, media_type).columns == expected


def _written(table: Any, media_type: str) -> bytes:
    sink = io.BytesIO()
    if media_type == PARQUET:
        parquet.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("name", [name for name in _FORMATS if "array" not in name])
def test_bad_rows_are_reported_and_the_others_are_read(tmp_path: Path, name: str) -> None:
    media_type, write = _FORMATS[name]
    rows = _rows("penguins", 20_000)
    expected = _expected(rows)
    for row in (5, 17_000):
        rows[row]["year"] = None
        expected["f6"][row] = None
    read = upload(tmp_path, "penguins", write("penguins", rows), media_type, on_error=OnError.REPORT)
    errors = read.columns.pop("error")
    assert {name: values for name, values in read.columns.items() if name != "error"} == expected
    assert [row for row, error in enumerate(errors) if error] == [5, 17_000]
    assert "column year: must not be missing: send an integer" in errors[5]
    assert (read.source.n_rows, read.source.n_bad) == (20_000, 2)


@pytest.mark.parametrize("name", [name for name in _FORMATS if "array" not in name])
def test_the_first_hundred_bad_rows_are_listed(tmp_path: Path, name: str) -> None:
    media_type, write = _FORMATS[name]
    rows = [{**row, "year": None if index % 2 else 2007} for index, row in enumerate(_rows("penguins", 1000))]
    code, faults = refusal(tmp_path, "penguins", write("penguins", rows), media_type)
    assert code == "invalid-rows"
    assert [fault.pointer for fault in faults] == [f"/data/{row}/year" for row in range(1, 200, 2)]


_VALUES: Final = [each for each in refusals() if each.pointer.startswith("/data/1/") and each.words[0][0] == '"']


@pytest.mark.parametrize("each", _VALUES, ids=[f"{index}" for index in range(len(_VALUES))])
@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_values_that_predict_refuses_are_refused(tmp_path: Path, each: Any, media_type: str) -> None:
    content = each.body
    if media_type == NDJSON:
        first, _, second = content[len(b'{"data": [') : -len(b"]}")].partition(b"], [" if b"[[" in content else b"}, {")
        content = first + (b"]\n[" if b"[[" in content else b"}\n{") + second
    code, faults = refusal(tmp_path, each.model, content, media_type)
    column = json.loads(each.words[0])
    assert code == "invalid-rows"
    assert [word for word in each.words[1:] if word not in faults[0].detail] == []
    assert f"column {column}: " in faults[0].detail


def test_texts_are_rows_of_a_model_that_takes_texts(tmp_path: Path) -> None:
    rows = ["a", "", 'é "quoted"', "x\ny"]
    json_body = json.dumps({"data": rows}).encode()
    lines = "\n".join(map(json.dumps, rows)).encode()
    objects = json.dumps({"data": [{"text": row} for row in rows]}).encode()
    csv = b'text\na\n""\n"\xc3\xa9 ""quoted"""\n"x\ny"\n'
    table = pa.table({"text": rows})
    for content, media_type in (
        (json_body, JSON),
        (objects, JSON),
        (lines, NDJSON),
        (csv, CSV),
        (_written(table, ARROW), ARROW),
        (_written(table, PARQUET), PARQUET),
    ):
        assert upload(tmp_path, "texts", content, media_type).columns == {"f0": rows}


def test_json_body_may_name_outputs(tmp_path: Path) -> None:
    content = body(array("iris"))
    assert upload(tmp_path, "iris", content, JSON).source.outputs == ()
    content = content[:-1] + b', "outputs": ["prediction"]}'
    assert upload(tmp_path, "iris", content, JSON).source.outputs == ()  # it is the default
