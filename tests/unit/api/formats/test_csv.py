"""CSV: cells, rows, missing values and numbers."""

import csv
import io
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.formats.conversion.cells import parse_cell
from api.http.values import column_reader
from shared.card import ModelCard
from shared.columns import ValueType
from shared.names import OnError
from tests.malformed.case import CSV
from tests.unit.api.formats.uploads import refusal, upload
from tests.unit.api.http.cards import card, category, column

_ANY: Final = card(
    "table",
    column("x", ValueType.FLOAT64, nullable=True),
    column("n", ValueType.INT16, nullable=True),
    column("b", ValueType.BOOL, nullable=True),
    column("t", ValueType.STRING, nullable=True),
    category("c", ValueType.STRING, "a", "", 'q"', nullable=True),
    column("d", ValueType.DATE, nullable=True),
)
_NAMES: Final = "x,n,b,t,c,d\n"


def _rows(folder: Path, body: str | bytes, model: str | ModelCard = _ANY, **options: Any) -> list[list[Any]]:
    content = body if isinstance(body, bytes) else body.encode()
    columns = upload(folder, model, content, CSV, **options).columns
    return [list(row) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1", 1.0),
        ("+4.8", 4.8),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5e-3", -0.0005),
        ("+1E5", 1e5),
        ("007", 7.0),
        (" 4.8\t", 4.8),
        ('"4.8"', 4.8),
        ("0.1", 0.1),
        ("0.30000000000000004", 0.30000000000000004),
        ("9007199254740993", 9007199254740992.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("", None),
    ],
)
def test_number(tmp_path: Path, cell: str, number: float | None) -> None:
    assert _rows(tmp_path, f"{_NAMES}{cell},,,,,\n") == [[number, None, None, None, None, None]]
    assert _rows(tmp_path, f"{_NAMES}{cell},,,,,\n+1,,,,,\n1e0,2.0,,,,\n")[0][0] == number  # read as texts


@pytest.mark.parametrize(
    ("cell", "number"), [("2007", 2007), ("+7", 7), ("-0", 0), ("2007.0", 2007), ("2e3", 2000), (" 7 ", 7), ("", None)]
)
def test_integer(tmp_path: Path, cell: str, number: int | None) -> None:
    assert _rows(tmp_path, f"{_NAMES},{cell},,,,\n")[0][1] == number


@pytest.mark.parametrize("cell", ["true", "True", "TRUE", "1"])
def test_true(tmp_path: Path, cell: str) -> None:
    assert _rows(tmp_path, f"{_NAMES},,{cell},,,\n")[0][2] is True


@pytest.mark.parametrize("cell", ["false", "False", "FALSE", "0"])
def test_false(tmp_path: Path, cell: str) -> None:
    assert _rows(tmp_path, f"{_NAMES},,{cell},,,\n,1.0,1,,,\n")[0][2] is False


def test_unquoted_empty_cell_is_missing_and_a_quoted_one_is_an_empty_text(tmp_path: Path) -> None:
    for end in ("\n", ""):
        body = f'{_NAMES},,,,,\n,,,"","",{end}'
        assert _rows(tmp_path, body) == [[None] * 6, [None, None, None, "", "", None]]


def test_na_is_a_text_unless_it_is_said_to_be_missing(tmp_path: Path) -> None:
    body = f'{_NAMES},,,NA,,\n,,,"NA",,\nNA,NA,NA,?,NA,NA\n'
    assert refusal(tmp_path, _ANY, body.encode(), CSV)[0] == "invalid-rows"
    rows = _rows(tmp_path, body, null_texts=("NA", "?"))
    assert [row[3] for row in rows] == [None, "NA", None]
    assert rows[2] == [None] * 6


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_end_in_three_ways_and_blank_ones_are_skipped(tmp_path: Path, end: str, mark: str) -> None:
    body = f"{mark}{_NAMES}\n1,,,a,,\n\n\n2,,,b,,".replace("\n", end)
    assert [row[0] for row in _rows(tmp_path, body)] == [1.0, 2.0]
    assert [row[0] for row in _rows(tmp_path, body + end + end)] == [1.0, 2.0]


def test_quoted_cells_hold_line_ends_delimiters_and_quotes(tmp_path: Path) -> None:
    texts = ["a\nb", "a\r\nb", "a,b", '"', 'a""b', "\n", "'", ";\t"]
    lines = [',,,"{}",,'.format(text.replace('"', '""')) for text in texts]
    assert [row[3] for row in _rows(tmp_path, _NAMES + "\n".join(lines))] == texts


@pytest.mark.parametrize("delimiter", [";", "\t", "|", " ", "a"])
def test_delimiter(tmp_path: Path, delimiter: str) -> None:
    body = f"{_NAMES}1,2,true,x,,2024-02-28\n".replace(",", delimiter)
    assert _rows(tmp_path, body, delimiter=delimiter) == [[1.0, 2, True, "x", None, "2024-02-28"]]


def test_without_a_header_columns_have_the_order_of_the_card(tmp_path: Path) -> None:
    assert _rows(tmp_path, "1,2,true,x,,\n3,4,1,y,,\n", has_header=False) == [
        [1.0, 2, True, "x", None, None],
        [3.0, 4, True, "y", None, None],
    ]


def test_header_may_have_quotes_and_line_ends(tmp_path: Path) -> None:
    model = card("table", column('a"b', ValueType.INT8), column("c\nd", ValueType.INT8))
    assert _rows(tmp_path, '\n"c\nd","a""b"\n1,2\n', model) == [[2, 1]]


def test_carried_cells_stay_the_text_that_they_were(tmp_path: Path) -> None:
    cells = ["000123", "NaN", "=1+1", "", "1.50", " x ", "NA", "\x01", '"']
    quoted = ['"{}"'.format(cell.replace('"', '""')) if cell else cell for cell in cells]
    body = "id,x,other\n" + "".join(f"{cell},{index},{cell}\n" for index, cell in enumerate(quoted))
    read = upload(tmp_path, _ANY, body.encode(), CSV, carried=("other", "id"), null_texts=("NA",))
    expected = [*cells[:3], None, *cells[4:7], '\x01"\\u0001"', '"']
    assert (read.columns["c0"], read.columns["c1"]) == (expected, expected)
    assert read.source.carried == ("other", "id")


def test_column_of_the_model_may_be_carried_too(tmp_path: Path) -> None:
    read = upload(tmp_path, _ANY, b"x,t\n+1.50,NA\n2,b\n", CSV, carried=("x", "t"), null_texts=("NA",))
    assert (read.columns["f0"], read.columns["c0"]) == ([1.5, 2.0], ["+1.50", "2"])
    assert (read.columns["f3"], read.columns["c1"]) == ([None, "b"], ["NA", "b"])


def test_rows_of_another_length_are_reported(tmp_path: Path) -> None:
    body = "x,t,id\n1,a,7\n2,b\n\n3,c,8,\n4,d,9\n"
    read = upload(tmp_path, _ANY, body.encode(), CSV, carried=("id",), on_error=OnError.REPORT)
    assert read.columns["f0"] == [1.0, None, None, 4.0]
    assert read.columns["c0"] == ["7", None, None, "9"]
    assert read.columns["error"] == [
        None,
        "Line 3: the row has 2 cells, and must have 3, one for each column.",
        "Line 5: the row has 4 cells, and must have 3, one for each column.",
        None,
    ]


def test_rows_are_found_wherever_blocks_end(tmp_path: Path) -> None:
    texts = [f"{index} " + '""\r\n,' * (index % 97) for index in range(30_000)]
    body = "t\r\n" + "\r\n".join(f'"{text}"' for text in texts)
    assert upload(tmp_path, _ANY, body.encode(), CSV).columns["f3"] == [text.replace('""', '"') for text in texts]


_CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            '""',
            "1",
            "-2",
            "+3",
            ".5",
            "1e2",
            "2007.0",
            "true",
            "FALSE",
            "a",
            "NA",
            "nan",
            "inf",
            "0x1F",
            "1e400",
            " 1",
        ]
    ),
    st.sampled_from(['"a"', '"q"""', "2024-02-29", "2023-02-29", "2024-01-31", '"\n"', '"\r\n"', '"a,b"', "x y"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-40_000, 40_000).map(str),
    st.text(st.characters(exclude_characters='"\r\n,\0', codec="utf-8"), max_size=5),
)


@given(st.lists(st.lists(_CELLS, min_size=6, max_size=6), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_every_row_is_read_as_the_slow_reader_reads_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], end: str
) -> None:
    body = _NAMES.replace("\n", end) + end.join(map(",".join, rows))
    folder = tmp_path_factory.getbasetemp() / "slow"
    expected = _read_slowly(body)
    if not expected:
        return
    *columns, errors = upload(folder, _ANY, body.encode(), CSV, on_error=OnError.REPORT).columns.values()
    assert [error is not None for error in errors] == [row is None for row in expected]
    read = [list(row) for row in zip(*columns, strict=True)]
    assert [row for row, slow in zip(read, expected, strict=True) if slow] == [slow for slow in expected if slow]


def _read_slowly(body: str) -> list[list[Any] | None]:
    """Read rows with Python's csv and the readers of `POST /predict`; None for a bad one."""
    readers = [column_reader(each, 2**20) for each in _ANY.input.columns]
    rows: list[list[Any] | None] = []
    for cells, are_quoted in _cells(body):
        try:
            rows.append(
                [
                    read(parse_cell(each.categories or each, cell)) if cell or is_quoted else None
                    for each, read, cell, is_quoted in zip(_ANY.input.columns, readers, cells, are_quoted, strict=True)
                ]
            )
        except ValueError:
            rows.append(None)
    return rows


def _cells(body: str) -> list[tuple[list[str], list[bool]]]:
    """Return the cells of each row, and which of them are quoted, which Python's csv does not tell."""
    rows = list(csv.reader(io.StringIO(body, newline="")))[1:]
    marked = list(csv.reader(io.StringIO(_mark_quotes(body), newline="")))[1:]
    return [(row, [cell.startswith("\x02") for cell in mark]) for row, mark in zip(rows, marked, strict=True) if row]


def _mark_quotes(body: str) -> str:
    """Put a mark at the beginning of each quoted cell."""
    marked, is_within, is_start = [], False, True
    for character in body:
        marked.append(character)
        if character == '"':
            if not is_within and is_start:
                marked.append("\x02")
            is_within, is_start = not is_within, False
        else:
            is_start = not is_within and character in ",\r\n"
    return "".join(marked)
