"""Parses results of bulk predictions in any format to the same rows."""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shared.names import Output

FORMATS: Final = ("json", "ndjson", "csv", "arrow", "parquet")

Columns = Mapping[str, type]
"""The columns that a result must have, in order, and the type of their values: `int`, `bool`, `float`, `np.float32` or
`str`, which dates and datetimes become too."""
Row = tuple[Any, ...]
"""A value for each column: None if it is missing."""

_NUMBERS: Final = {"-Infinity": -np.inf, "Infinity": np.inf, "NaN": np.nan}
_CELL: Final = re.compile(r'("(?:[^"]|"")*"|[^",\r\n]*)(,|\n)')


def parse_table(content: bytes, form: str, columns: Columns, first_row: int = 0) -> list[Row]:
    """Parse a result.

    Args:
        content: the body of the response.
        form: one of `FORMATS`.
        columns: of the result; a JSON document has lists where the other formats have several columns.
        first_row: the number of the first row, from which a JSON document counts its errors.
    """
    if form == "json":
        return _parse_document(json.loads(content, parse_constant=_refuse), columns, first_row)
    if form == "csv":
        return list(_parse_csv(content.decode(), columns))
    if form == "ndjson":
        return [_parse_line(line, columns) for line in content.decode().split("\n")[:-1]]
    table = pa.ipc.open_stream(content).read_all() if form == "arrow" else pq.read_table(io.BytesIO(content))
    assert table.schema.names == list(columns)
    return _transposed([_typed(table.column(name).to_pylist(), columns[name]) for name in columns])


def exact(rows: Sequence[Row]) -> list[str]:
    """Return texts that are equal only if rows are equal to the bit, where NaN equals NaN."""
    return [repr(row) for row in rows]


def _parse_line(line: str, columns: Columns) -> Row:
    found = json.loads(line, parse_constant=_refuse)
    assert list(found) == list(columns)
    return tuple(_typed([found[name]], kind)[0] for name, kind in columns.items())


def _parse_csv(text: str, columns: Columns) -> Iterator[Row]:
    cells: list[str] = []
    lines = []
    end = 0
    for found in _CELL.finditer(text):
        assert found.start() == end, f"no CSV: {text[end : end + 80]!r}"
        end = found.end()
        cells.append(found[1])
        if found[2] == "\n":
            lines.append(cells)
            cells = []
    assert end == len(text), f"no CSV: {text[end : end + 80]!r}"
    assert [_unquoted(cell) for cell in lines[0]] == list(columns)
    for line in lines[1:]:
        yield tuple(_cell(cell, kind) for cell, kind in zip(line, columns.values(), strict=True))


def _cell(cell: str, kind: type) -> Any:
    if not cell or (cell == '""' and kind is not str):
        return None
    if kind is bool:
        return {"true": True, "false": False}[cell]
    return _typed([_unquoted(cell)], kind)[0]


def _unquoted(cell: str | None) -> str | None:
    return cell[1:-1].replace('""', '"') if cell and cell.startswith('"') else cell


def _parse_document(document: dict[str, Any], columns: Columns, first_row: int) -> list[Row]:
    by_output: dict[str, list[str]] = {}
    for name in columns:
        by_output.setdefault(_output(name), []).append(name)
    found: dict[str, list[Any]] = dict(document.get("carried", {}))
    n_rows = 0
    for output, names in by_output.items():
        if output in document:
            n_rows = len(document[output])
            items = [_flat(item, len(names)) for item in document[output]]
            found.update((name, [item[index] for item in items]) for index, name in enumerate(names))
    if "errors" in document:
        details = {int(each["pointer"].removeprefix("/data/")): each["detail"] for each in document["errors"]}
        found["error"] = [details.get(row) for row in range(first_row, first_row + n_rows)]
    assert sorted(found) == sorted(columns)
    return _transposed([_typed(found[name], kind) for name, kind in columns.items()])


def _output(name: str) -> str:
    return next((output.value for output in Output if name == output or name.startswith(f"{output}_")), name)


def _flat(item: Any, n_columns: int) -> list[Any]:
    """Return the values of an item, which is null for a row without a result."""
    if item is None:
        return [None] * n_columns
    if not isinstance(item, list):
        return [item]
    return [value for part in item for value in (_flat(part, 1) if isinstance(part, list) else [part])]


def _typed(values: list[Any], kind: type) -> list[Any]:
    return [None if value is None else _value(value, kind) for value in values]


def _value(value: Any, kind: type) -> Any:
    if kind is str:
        return value.isoformat() if hasattr(value, "isoformat") else value
    if kind in (float, np.float32):
        return kind(_NUMBERS.get(value, value))
    assert kind is not bool or isinstance(value, bool)
    return kind(value)


def _transposed(columns: list[list[Any]]) -> list[Row]:
    return list(zip(*columns, strict=True))


def _refuse(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")
