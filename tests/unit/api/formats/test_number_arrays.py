"""Arrays of plain numbers: the CSV parser reads the same values as JSON, and other arrays are not passed to it."""

from typing import Any, Final

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.formats.json.number_arrays import NumberArrayParser

_NUMBER: Final = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.sampled_from(["0", "-0", "-0.0", "0e0", "1E+05", "1e-05", "0.1e-7", "1e400", "1e-400", "0." + "1" * 800]),
    st.text("0123456789.-+eE", max_size=6),
)
_TOKEN: Final = st.one_of(_NUMBER, st.sampled_from([",", "[", "]", "],[", ", ", "], [", " ", "\n", '"1"', "null", "x"]))
_ROWS: Final = st.lists(st.lists(_NUMBER, min_size=2, max_size=2), min_size=1, max_size=4)


@pytest.mark.parametrize("separator", [",", ", ", ",\n  "])
@given(rows=_ROWS)
def test_arrays_are_read_as_json_says(rows: list[list[str]], separator: str) -> None:
    _agree(separator.join(f"[{separator.join(row)}]" for row in rows))


@given(rows=_ROWS)
@example(rows=[["1", "-2.5e-03"], ["0", "10.05"]])
def test_lines_are_read_as_json_says(rows: list[list[str]]) -> None:
    lines = [f"[{', '.join(row)}]" for row in rows]
    columns = NumberArrayParser(2, is_ndjson=True)("\n".join(lines).encode())
    assert columns is None or _values(columns) == _parsed(f"[{','.join(lines)}]")


@settings(max_examples=2000)
@given(tokens=st.lists(_TOKEN, max_size=12))
@example(tokens=["1 2", ",", "3"])
@example(tokens=["1,2],[ ],[3,4"])
@example(tokens=["1,2],3,4"])
@example(tokens=["1,2],[01,4"])
@example(tokens=["1,2],[-00.5,4"])
def test_nothing_else_is_read(tokens: list[str]) -> None:
    _agree(f"[{''.join(tokens)}]")


@pytest.mark.parametrize(
    "lines", ["[1,2],[3,4]", "[1,2]\n\n[3,4]", "[1,\n2]\n[3,4]", "[1,2]\n[\n3,4]", "[1,2],\n[3,4]", "[1,2] [3,4]"]
)
def test_a_line_that_is_no_row_is_not_read(lines: str) -> None:
    assert NumberArrayParser(2, is_ndjson=True)(lines.encode()) is None


@pytest.mark.parametrize("rows", ["[1]\n[2]", "[1],[ ]", "[ ],[1]", "[]", "[1],[]", "[1],[2,]", "[1],\n[\n]"])
def test_rows_of_one_number_are_not_mistaken(rows: str) -> None:
    assert NumberArrayParser(1, is_ndjson=False)(rows.encode()) is None


@pytest.mark.parametrize("separator", [",", ", "])
def test_what_programs_write_is_read(separator: str) -> None:
    rows = [(0.0, -0.05), (1e-05, 1.5e300), (5.1, 10.0)]
    content = separator.join(f"[{separator.join(map(repr, row))}]" for row in rows)
    columns = NumberArrayParser(2, is_ndjson=False)(content.encode())
    assert columns is not None
    assert _values(columns) == rows


def _agree(content: str) -> None:
    columns = NumberArrayParser(2, is_ndjson=False)(content.encode())
    if columns is not None:
        assert repr(_values(columns)) == repr(_parsed(f"[{content}]"))  # which tells -0.0 from 0.0


def _parsed(content: str) -> Any:
    return msgspec.json.decode(content, type=list[tuple[float, float]])


def _values(columns: list[Any]) -> list[tuple[float, ...]]:
    return list(zip(*(column.to_pylist() for column in columns), strict=True))
