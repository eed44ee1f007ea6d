"""Bodies of `POST /predict`, for models of every kind."""

import json
import math
from typing import Any, Final

from hypothesis import strategies as st

from api.http.rows import BodyReader, ReadBody
from api.http.strict_json import parse
from shared.card import ModelCard
from shared.errors import InvalidRows, MalformedJson
from shared.rows import decode
from tests.bodies import ROWS
from tests.fuzz.parsers import slow_json
from tests.fuzz.parsers.effort import assert_linear, pumped
from tests.fuzz.parsers.properties import Property, mostly
from tests.unit.api.http.cards import CARDS

_MAX_ROWS: Final = 4
_MAX_TEXT: Final = 64
_MAX_DEPTH: Final = 900  # the slow reader is recursive

_STRINGS: Final = st.one_of(
    st.text(max_size=6).map(json.dumps),
    st.sampled_from(
        [
            r'"\ud83d\ude00"',
            r'"\ud800"',
            r'"\udc00\ud800"',
            r'"\u0061"',
            r'"a"',
            '"\x7f"',
            '"\x00"',
            '"é"',
            r'"\x"',
            '"',
        ]
    ),
)
_NUMBERS: Final = st.one_of(
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.sampled_from(
        [
            "0",
            "-0",
            "-0.0",
            "1e400",
            "-1E+400",
            "1e-400",
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "0x1",
            "NaN",
            "Infinity",
            "3.0",
            "1e2",
            "9007199254740993",
            "1_0",
            "１",
        ]
    ),
    st.tuples(st.sampled_from(["", "-"]), st.sampled_from([400, 5000])).map(
        lambda drawn: drawn[0] + "9" * drawn[1]  # beyond a float, and beyond what Python converts
    ),
)
_SCALARS: Final = st.one_of(_STRINGS, _NUMBERS, st.sampled_from(["true", "false", "null", "True", ""]))
_SPACES: Final = st.sampled_from(["", "", "", " ", "\n", "\t\r", "\u00a0", "\ufeff", "\x0c"])
_NAMES: Final = st.one_of(
    st.sampled_from(['"data"', '"outputs"', r'"d\u0061ta"', '"Data"', '"a/b"', '"a~b"', '""', '"0"']), _STRINGS
)


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.tuples(_NAMES, _SPACES, inner).map(lambda parts: f"{parts[0]}{parts[1]}:{parts[2]}")
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda values: f"[{','.join(values)}]"),
        st.lists(members, max_size=4).map(lambda values: f"{{{','.join(values)}}}"),
        st.tuples(_SPACES, inner, _SPACES).map("".join),
    )


_JSON: Final = st.recursive(_SCALARS, _containers, max_leaves=12).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


_VALUES: Final = mostly(st.none(), _SCALARS)  # None: the valid one
_OUTPUTS: Final = mostly(
    st.just(""), st.sampled_from([', "outputs": ["prediction"]', ', "outputs": 1', ', "outputs": []', ', "x": 1'])
)


@st.composite
def _valid(draw: st.DrawFn, model: str) -> bytes:
    """A valid body in which some values may be replaced and some members repeated."""
    names, rows = ROWS.get(model, {"text": '"a"'}), []
    by_name = draw(st.booleans())
    n_rows = draw(mostly(st.integers(1, _MAX_ROWS), st.integers(0, _MAX_ROWS + 1)))
    odd_row = draw(st.integers(0, 2 * _MAX_ROWS))
    for index in range(n_rows):
        sent = [draw(_VALUES) if index == odd_row else None for _ in names]
        values = [value if other is None else other for value, other in zip(names.values(), sent, strict=True)]
        members = [f"{json.dumps(name)}: {value}" for name, value in zip(names, values, strict=True)]
        again = draw(mostly(st.just([]), st.sampled_from(members).map(lambda member: [member])))
        if model not in ROWS:
            rows.append(values[0])
        else:
            rows.append(f"{{{', '.join(members + again)}}}" if by_name else f"[{', '.join(values)}]")
    return f'{{"data": [{", ".join(rows)}]{draw(_OUTPUTS)}}}'.encode("utf-8", "surrogatepass")


@st.composite
def _mutated(draw: st.DrawFn, model: str) -> bytes:
    body = draw(_valid(model))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 4)))
        piece = draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b"[", b"]", b"{", b"}", b",", b":", b"e"]))
        )
        body = body[:start] + piece + body[end:]
    return body


_NESTED: Final = st.builds(
    lambda opening, times, closing: opening * times + closing * times,
    st.sampled_from([b"[", b'{"data":', b'[{"a":', b'{"data": [']),
    st.integers(1, _MAX_DEPTH // 2),
    st.sampled_from([b"]", b"}", b"}]", b"]}", b""]),
)


def _bodies_for(model: str) -> st.SearchStrategy[tuple[str, bytes]]:
    bodies = st.one_of(_valid(model), _mutated(model), _JSON, _NESTED, st.binary(max_size=30))
    return st.tuples(st.just(model), bodies)


FITTING: Final = st.sampled_from(sorted(CARDS)).flatmap(_bodies_for)
BODIES: Final = FITTING.map(lambda drawn: drawn[1])

_FRAGMENTS: Final = st.sampled_from(
    [
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b",",
        b":",
        b"1",
        b"e5",
        b'"a"',
        b'"data":',
        b"[1,2],",
        b'{"a":1},',
        b"\\u00e9",
        b" ",
    ]
)


def _expected(body: bytes) -> Any:
    try:
        return slow_json.read(body)
    except (slow_json.NotJson, slow_json.Repeated) as error:
        return type(error)


def _parses_as_the_slow_reader(body: bytes) -> None:
    expected = _expected(body)
    try:
        found = parse(body)
    except MalformedJson:
        found = slow_json.NotJson
    except InvalidRows:
        found = slow_json.Repeated
    assert repr(found) == repr(expected)


def _read(model: str, body: bytes) -> ReadBody | Exception:
    try:
        return BodyReader(_MAX_ROWS, _MAX_TEXT)(body, CARDS[model])
    except (MalformedJson, InvalidRows) as error:
        return error


def _is_accepted_or_refused_with_the_place(drawn: tuple[str, bytes]) -> None:
    """A body is accepted only if it is JSON of the right form, and the pointer of a refusal refers to a part of it."""
    model, body = drawn
    expected, found = _expected(body), _read(model, body)
    if isinstance(found, MalformedJson):
        assert expected is slow_json.NotJson
    elif isinstance(found, InvalidRows):
        assert found.faults
        if isinstance(expected, dict | list):
            for fault in found.faults:
                _resolve(expected, fault.pointer)
    else:
        assert isinstance(found, ReadBody)
        assert isinstance(expected, dict)
        assert set(expected) <= {"data", "outputs"}
        assert 1 <= sum(part.n_rows for part in found.rows) == len(expected["data"]) <= _MAX_ROWS
        _compare(CARDS[model], expected["data"], [row for part in found.rows for row in decode(part)])


def _resolve(value: Any, pointer: str) -> None:
    """Resolve a JSON pointer (RFC 6901) up to its last part, which may be missing."""
    assert pointer == "" or pointer[0] == "/"
    for part in pointer.split("/")[1:-1]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
        assert isinstance(value, dict | list)


def _compare(card: ModelCard, sent: list[Any], encoded: list[Any]) -> None:
    """Check that numbers, texts and missing values are encoded as they were sent."""
    names = [column.name for column in card.input.columns]
    for row, found in zip(sent, encoded, strict=True):
        if isinstance(row, str):
            assert found == row
            continue
        values = [row.get(name) for name in names] if isinstance(row, dict) else row
        for value, other in zip(values, found, strict=True):
            if value is None:
                assert other is None or math.isnan(other)
            elif isinstance(value, bool | int | float):
                assert other == value or float(value) == other
            else:
                assert isinstance(other, str)


def _is_read_at_once_or_elsewhere_alike(drawn: tuple[str, bytes]) -> None:
    model, body = drawn
    try:
        at_once: ReadBody | Exception | None = BodyReader(_MAX_ROWS, _MAX_TEXT).read_if_small(body, CARDS[model])
    except (MalformedJson, InvalidRows) as error:
        at_once = error
    found = _read(model, body)
    if at_once is None:
        return
    if isinstance(found, Exception):
        assert (type(at_once), str(at_once)) == (type(found), str(found))
        assert getattr(at_once, "faults", None) == getattr(found, "faults", None)
    else:
        assert at_once == found


PROPERTIES: Final = [
    Property("parses JSON as the slow reader does", BODIES, _parses_as_the_slow_reader),
    Property("accepts, or refuses with the place", FITTING, _is_accepted_or_refused_with_the_place),
    Property("reads at once as elsewhere", FITTING, _is_read_at_once_or_elsewhere_alike),
    Property(
        "takes linear time",
        st.tuples(st.sampled_from(sorted(CARDS)), pumped(_FRAGMENTS)),
        lambda drawn: assert_linear(lambda body: _read(drawn[0], body), drawn[1]),
    ),
]
