"""JSON and NDJSON: both readers agree, and carried values are returned unchanged."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bulk.wire import TableSettings, UploadJob
from api.formats.json.decoding import RowForm
from api.formats.json.piece_reader import PieceReader
from api.formats.pieces import Piece
from api.formats.upload import Upload
from api.http.strict_json import parse
from shared.bulk import JSON_MARK
from shared.columns import Unit, ValueType
from shared.errors import InvalidRows, MalformedJson
from tests.bodies import an_object, array, body
from tests.malformed.case import JSON, NDJSON
from tests.unit.api.formats.uploads import upload
from tests.unit.api.http.cards import card, category, column

_ANY: Final = card(
    "table",
    column("x", ValueType.FLOAT64),
    column("f", ValueType.FLOAT32, nullable=True),
    column("n", ValueType.UINT64, nullable=True),
    column("b", ValueType.BOOL, nullable=True),
    column("t", ValueType.STRING, nullable=True),
    category("c", ValueType.INT64, 1, 2, nullable=True),
    column("d", ValueType.DATETIME, nullable=True, unit=Unit.MILLISECOND),
)
_NAMES: Final = [each.name for each in _ANY.input.columns]
_GOOD: Final = ["1.5", "2", "3", "true", '"a"', "1", '"2024-02-29T12:00:00.000"']
_VALUE: Final = st.sampled_from(
    [
        *_GOOD, "null", "0", "-1", "1e3", "1e400", "1e17", "2.0", "2.5", "18446744073709551615", "18446744073709551616",
        "false", '""', '"é"', '"\\u00e9"', '"\\":"', '"2024-02-29 12:00"', '"2023-02-29"', "[]", "{}",
        '{"x": 1, "x": 2}',
    ]
)  # fmt: skip
_CELLS: Final = st.tuples(*(st.one_of(st.just(good), st.just(good), _VALUE) for good in _GOOD))
_ARRAYS: Final = _CELLS.map(lambda cells: f"[{', '.join(cells)}]")
_MEMBERS: Final = st.lists(st.sampled_from(range(len(_NAMES))), min_size=6, max_size=8)


@st.composite
def _objects(draw: st.DrawFn) -> str:
    cells = draw(_CELLS)
    indices = draw(st.one_of(st.just(list(range(len(_NAMES)))), _MEMBERS))
    colon = draw(st.sampled_from([":", ": ", " : "]))
    members = [f"{json.dumps(_NAMES[index])}{colon}{cells[index]}" for index in indices]
    if draw(st.booleans()):
        members.append(f'"id"{colon}{draw(_VALUE)}')
    return f"{{{', '.join(members)}}}"


def _reader(form: RowForm, carried: tuple[str, ...] = (), *, is_ndjson: bool) -> PieceReader:
    job = UploadJob(b"", JSON, "", "", carried=carried)
    return PieceReader(Upload(None, job, _ANY, TableSettings("")), form, is_ndjson=is_ndjson)


def _shown(piece: Piece) -> tuple[list[list[Any]], list[list[Any]], dict[int, set[str | None]]]:
    features = [each.to_pylist() for each in piece.features]
    bad = {row: {each.column for each in reasons} for row, reasons in piece.bad.items()}
    for row in bad:
        for values in features:
            values[row] = None
    return features, [each.to_pylist() for each in piece.carried], bad


def _parsed(row: str) -> Any:
    try:
        return parse(row.encode())
    except InvalidRows as error:
        return error


def _both_ways(rows: list[str], form: RowForm, carried: tuple[str, ...]) -> None:
    slow = _reader(form, carried, is_ndjson=False)
    expected = _shown(slow.read_row_by_row([(_parsed(row), row.encode()) for row in rows], lambda _: []))
    for is_ndjson, content in ((False, ", ".join(rows)), (True, "\n".join(rows))):
        piece = _reader(form, carried, is_ndjson=is_ndjson).read_whole_piece(content.encode(), lambda _: [], len(rows))
        if piece is not None:
            assert _shown(piece) == expected


@given(st.lists(_ARRAYS, min_size=1, max_size=4))
def test_both_ways_read_the_same_arrays(rows: list[str]) -> None:
    _both_ways(rows, RowForm.ARRAY, ())


@given(st.lists(_objects(), min_size=1, max_size=4), st.sampled_from([(), ("id",), ("x", "id"), ("t",)]))
def test_both_ways_read_the_same_objects(rows: list[str], carried: tuple[str, ...]) -> None:
    _both_ways(rows, RowForm.OBJECT, carried)


def test_good_rows_are_read_at_once() -> None:
    cells = f"[{', '.join(_GOOD)}]"
    members = json.dumps(dict(zip(_NAMES, map(json.loads, _GOOD), strict=True)))
    for row, form in ((cells, RowForm.ARRAY), (members, RowForm.OBJECT)):
        for is_ndjson, content in ((False, f"{row}, {row}"), (True, f"{row}\n{row}")):
            assert _reader(form, is_ndjson=is_ndjson).read_whole_piece(content.encode(), lambda _: [], 2) is not None


def test_rows_are_found_wherever_pieces_end(tmp_path: Path) -> None:
    texts = [f"{index}" + '],["},{" \n' * (index % 31) for index in range(30_000)]
    rows = [{"x": index, "t": text} for index, text in enumerate(texts)]
    for content, media_type in (
        (json.dumps({"data": rows}, indent=1), JSON),
        (json.dumps({"data": rows, "outputs": ["prediction"]}, separators=(",", ":")), JSON),
        ("\n".join(map(json.dumps, rows)), NDJSON),
    ):
        read = upload(tmp_path, _ANY, content.encode(), media_type)
        assert read.columns["f4"] == texts
        assert read.columns["f0"] == [float(index) for index in range(30_000)]


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
@pytest.mark.parametrize(
    "value",
    ['"7"', "7", "7.0", "-0", "1e5", "12345678901234567890123", "true", "null", '""', '"\\u0001"', '"é\\n"', "[1,2.50]",
     '{"a":[1,{"b":null}]}'],
)  # fmt: skip
def test_carried_value_can_be_given_back_as_it_was(tmp_path: Path, media_type: str, value: str) -> None:
    rows = [an_object("penguins", id=value), an_object("penguins"), an_object("penguins", id=value, sex="null")]
    content = body(*rows) if media_type == JSON else "\n".join(rows).encode()
    carried = upload(tmp_path, "penguins", content, media_type, carried=("id",)).columns["c0"]
    assert carried[1] is None
    for text in (carried[0], carried[2]):
        assert _given_back(text) == (json.dumps(json.loads(value)) if value.startswith('"') else value)


def _given_back(text: str | None) -> str:
    if text is None:
        return "null"
    return text[1:] if text.startswith(JSON_MARK) else json.dumps(text)


def test_carried_value_has_no_line_end(tmp_path: Path) -> None:
    content = body(an_object("penguins", id='{"a":\n [1,\r\n 2]}'))
    assert upload(tmp_path, "penguins", content, JSON, carried=("id",)).columns["c0"] == [f'{JSON_MARK}{{"a":[1,2]}}']


def test_column_of_the_model_may_be_carried_too(tmp_path: Path) -> None:
    read = upload(tmp_path, "penguins", body(an_object("penguins")), JSON, carried=("year", "island"))
    assert (read.columns["c0"], read.columns["c1"]) == ([f"{JSON_MARK}2007"], ["Torgersen"])


def test_members_of_a_body_may_stand_in_any_order_and_form(tmp_path: Path) -> None:
    row = array("iris")
    for content in (
        f'{{"data":[{row}]}}',
        f' {{ "data" : [ {row} ] }} \n',
        f'{{"outputs": ["prediction"], "data": [{row}]}}',
        f'{{"d\\u0061ta": [{row}], "outputs": ["prediction"]}}',
    ):
        assert upload(tmp_path, "iris", content.encode(), JSON).source.n_rows == 1


@given(st.text())
def test_text_that_is_not_json_is_never_decoded(text: str) -> None:
    reader = _reader(RowForm.detect(text.encode(errors="replace")), is_ndjson=False)
    content = text.encode(errors="surrogatepass")
    if reader.read_whole_piece(content, lambda _: []) is not None:
        try:
            parse(b"[%b]" % content)
        except MalformedJson as error:
            raise AssertionError(f"{text!r} was decoded") from error
