"""Malformed JSON and NDJSON."""

from collections.abc import Callable
from typing import Final

from tests.bodies import an_object, array, body, without
from tests.malformed.case import INVALID, JSON, MALFORMED, NDJSON, TOO_LARGE, Case

_FOUR: Final = "[1, 2, 3, 4]"
_NUMBER: Final = "must be a number"
_INTEGER: Final = "must be an integer"
_MISSING: Final = "must not be missing"


def _json(
    name: str, content: bytes | Callable[[], bytes], *words: str, code: str = MALFORMED, model: str = "iris"
) -> Case:
    return Case(f"json: {name}", model, JSON, content, code, words)


def _ndjson(
    name: str,
    content: bytes | Callable[[], bytes],
    *words: str,
    code: str = MALFORMED,
    model: str = "iris",
    query: str = "",
) -> Case:
    return Case(f"ndjson: {name}", model, NDJSON, content, code, words, query)


def _lines(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


def _in_both(name: str, row: str, *words: str, model: str = "iris", good: str = "", code: str = INVALID) -> list[Case]:
    """Make a case of each format whose second row is bad."""
    good = good or (an_object(model) if row.startswith("{") else array(model))
    return [
        Case(f"json: {name}", model, JSON, body(good, row), code, ("Row 1", "/data/1", *words)),
        Case(f"ndjson: {name}", model, NDJSON, _lines(good, row), code, ("Line 2", "/data/1", *words)),
    ]


_BOTH: Final = [
    *_in_both("a row too short", "[1, 2, 3]", "4 values", "this one has 3 values"),
    *_in_both("a row too long", "[1, 2, 3, 4, 5]", "this one has 5 values"),
    *_in_both("an empty row", "[]", "this one has 0 values"),
    *_in_both("a text in a number column", '[1, 2, 3, "4"]', "column petal width (cm)", _NUMBER, '"4" is not'),
    *_in_both("a boolean in a number column", "[1, 2, 3, true]", "column petal width (cm)", _NUMBER),
    *_in_both("null in a number column", "[1, 2, 3, null]", "column petal width (cm)", _MISSING),
    *_in_both("an array in a number column", "[1, 2, 3, [4]]", "column petal width (cm)", "an array is not"),
    *_in_both("an object in a number column", '[1, 2, 3, {"a": 4}]', "column petal width (cm)", "an object is not"),
    *_in_both("a number too large", "[1, 2, 3, 1e400]", "column petal width (cm)", "too large"),
    *_in_both("thousands of digits", f"[1, 2, 3, {'9' * 5000}]", "column petal width (cm)", "too large"),
    *_in_both("a row that is a number", "4", "a row must be an array"),
    *_in_both("a row that is null", "null", "a row must be an array"),
    *_in_both("an object after an array", an_object("iris"), "one form", "arrays", good=_FOUR),
    *_in_both("an array after an object", _FOUR, "one form", "objects", good=an_object("iris")),
    *_in_both("a column that is missing", without("iris", "petal width (cm)"), "petal width (cm)", _MISSING),
    *_in_both(
        "an unknown column", an_object("penguins", bill_lenght_mm="1"), "column bill_lenght_mm", model="penguins"
    ),
    *_in_both(
        "a member twice", an_object("penguins")[:-1] + ', "year": 1}', '"year"', "more than once", model="penguins"
    ),
    *_in_both(
        "a member twice, one absent",
        without("penguins", "sex")[:-1] + ', "year": 1}',
        '"year"',
        "more than once",
        model="penguins",
    ),
    *_in_both(
        "a member twice, once escaped",
        an_object("penguins")[:-1] + ', "ye\\u0061r": 1}',
        "more than once",
        model="penguins",
    ),
    *_in_both("a fraction as integer", an_object("penguins", year="1.5"), "column year", _INTEGER, model="penguins"),
    *_in_both("digits that may be lost", an_object("penguins", year="1e17"), "digits alone", model="penguins"),
    *_in_both("an integer too large", an_object("typed", int8="128"), "column int8", "to 127", model="typed"),
    *_in_both("a category misspelt", an_object("typed", size='"smal"'), 'mean "small"?', model="typed"),
    *_in_both("a date of no calendar", an_object("typed", date='"2023-02-29"'), "is not a date", model="typed"),
    *_in_both("a time without its offset", an_object("typed", zoned='"2024-02-29"'), "no offset", model="typed"),
    *_in_both("a number as text", "1", "must be a string", model="texts", good='"a"'),
    *_in_both("a text of 2 MB", f'"{"x" * 2**21}"', "at most 1048576", model="texts", good='"a"'),
    *_in_both("a row in an array of its own", '["a"]', "one form", model="texts", good='"a"'),
    *_in_both("NaN", "[1, 2, 3, NaN]", "NaN is not a number", code=MALFORMED),
    *_in_both("Infinity", "[1, 2, 3, -Infinity]", "-Infinity is not a number", code=MALFORMED),
    *_in_both("a leading zero", "[1, 2, 3, 04]", "not JSON", code=MALFORMED),
    *_in_both("a plus", "[1, 2, 3, +4]", "not JSON", code=MALFORMED),
    *_in_both("a point at the end", "[1, 2, 3, 4.]", "not JSON", code=MALFORMED),
    *_in_both("a comma too many", "[1, 2, 3, 4,]", "not JSON", code=MALFORMED),
    *_in_both("single quotes", "{'a': 1}", "not JSON", code=MALFORMED, good=an_object("iris")),
    *_in_both("a lone surrogate", '"\\ud800"', "lone surrogate", code=MALFORMED, model="texts", good='"a"'),
    *_in_both("a control character", '"a\x01"', "control character", code=MALFORMED, model="texts", good='"a"'),
    *_in_both("100,000 brackets", "[" * 100_000, "nested too deeply", code=MALFORMED),
]

_JSON: Final = [
    _json("empty", b"", "line 1, character 1", "not JSON"),
    _json("only space", b" \n ", "line 2", "not JSON"),
    _json("a mark of UTF-8", b"\xef\xbb\xbf" + body(_FOUR), "line 1, character 1", "not JSON"),
    _json("UTF-16", body(_FOUR).decode().encode("utf-16"), "character 1", "not UTF-8"),
    _json("Latin-1", b'{"data": [[1, 2, 3, "\xe9"]]}', "character 22", "not UTF-8"),
    _json("cut off in a row", body(_FOUR, _FOUR)[:-6], "Row 1", "not JSON"),
    _json("cut off after a row", body(_FOUR, _FOUR)[:-2], "Row 2", "a comma or ] is missing"),
    _json("cut off before the brace", body(_FOUR)[:-1], "a comma or } is missing"),
    _json("cut off in a name", b'{"da', "not JSON"),
    _json("a bracket more", body(_FOUR) + b"]", "nothing after the object"),
    _json("two bodies", body(_FOUR) * 2, "nothing after the object"),
    _json("a comma between no rows", b'{"data": [,]}', "Row 0", "not JSON"),
    _json("a comma after the last row", b'{"data": [[1, 2, 3, 4],]}', "Row 1", "not JSON"),
    _json("no colon", b'{"data" [[1, 2, 3, 4]]}', "colon"),
    _json("a name that is no text", b"{data: [[1, 2, 3, 4]]}", "name is missing"),
    _json("CSV", b"a,b\n1,2\n", "line 1, character 1", "not JSON"),
    _json("NDJSON", b"[1, 2, 3, 4]\n[1, 2, 3, 4]\n", '"data"', code=INVALID),
    _json("null", b"null", '"data"', code=INVALID),
    _json("no rows", b'{"data": []}', "no rows", code=INVALID),
    _json("no data", b"{}", "/data", "is missing", code=INVALID),
    _json("data that are a number", b'{"data": 3}', "/data", "3 is none", code=INVALID),
    _json("data that are an object", b'{"data": {"a": 1}}', "/data", "an object is none", code=INVALID),
    _json("data twice", b'{"data": [[1, 2, 3, 4]], "data": []}', "/data", "more than once", code=INVALID),
    _json("an unknown member", b'{"data": [[1, 2, 3, 4]], "output": []}', "/output", code=INVALID),
    _json("outputs of no model", b'{"data": [[1, 2, 3, 4]], "outputs": ["x"]}', "/outputs/0", code=INVALID),
    _json("outputs that are a text", b'{"outputs": "prediction", "data": []}', "/outputs", code=INVALID),
    _json(
        "a fault after 100,000 rows",
        lambda: body(*[_FOUR] * 100_000, "[1, 2, 3, null]"),
        "Row 100000",
        "column petal width (cm)",
        code=INVALID,
    ),
    _json(
        "cut off after 100,000 rows",
        lambda: body(*[_FOUR] * 100_000, "[1, 2, 3, ")[:-2],
        "Row 100000",
        "not JSON",
    ),
    _json("70 MB", lambda: body(*[_FOUR] * 5_000_000), "67108864", "NDJSON", code=TOO_LARGE),
    _json("a row of 40 MB", lambda: body(_FOUR, f"[{' ' * 40_000_000}1, 2]"), "Row 1", "2 values", code=INVALID),
    _json("a text that hides rows", b'{"data": ["],[1,2,3,4]', "Row 0", "Unterminated string"),
]

_NDJSON: Final = [
    _ndjson("empty", b"", "no rows", code=INVALID),
    _ndjson("blank lines", b"\n \r\n\t\n", "no rows", code=INVALID),
    _ndjson("a mark of UTF-8", b"\xef\xbb\xbf" + _lines(_FOUR), "Line 1, character 1", "not JSON"),
    _ndjson("UTF-16", _lines(_FOUR).decode().encode("utf-16"), "Line 1, byte 1", "not UTF-8"),
    _ndjson("Latin-1", b'[1, 2, 3, 4]\n[1, 2, 3, "\xe9"]\n', "Line 2, byte 12", "not UTF-8"),
    _ndjson("a NUL", b"[1, 2, 3, 4]\n\0\n", "Line 2, character 1", "not JSON"),
    _ndjson("cut off in a row", _lines(_FOUR, _FOUR)[:-5], "Line 2", "not JSON"),
    _ndjson("two rows in a line", _lines(_FOUR, f"{_FOUR} {_FOUR}"), "Line 2", "nothing after the row"),
    _ndjson("commas at the ends of lines", _lines(f"{_FOUR},", _FOUR), "Line 1", "nothing after the row"),
    _ndjson("a row in two lines", b"[1, 2,\n3, 4]\n", "Line 1", "not JSON"),
    _ndjson("a JSON array of rows", f"[{_FOUR}, {_FOUR}]".encode(), "Line 1", "2 values", code=INVALID),
    _ndjson("a JSON body", body(_FOUR), "Line 1", "column data", code=INVALID),
    _ndjson("an indented JSON body", b'{\n  "data": [\n    [1, 2, 3, 4]\n  ]\n}\n', "Line 1", "not JSON"),
    _ndjson("CSV", b"a,b\n1,2\n", "Line 1, character 1", "not JSON"),
    _ndjson("a fault after blank lines", b"\n\n[1, 2, 3, 4]\r\n\r\n\n[1]\r\n", "Line 6", "1 value", code=INVALID),
    _ndjson(
        "a fault after 100,000 rows",
        lambda: _lines(*[_FOUR] * 100_000, "[1, 2, 3, null]"),
        "Line 100001",
        "column petal width (cm)",
        code=INVALID,
    ),
    _ndjson("carrying from arrays", _lines(_FOUR), "/data/0", "`carry`", code=INVALID, query="carry=id"),
    _ndjson("a line of 50 MB", lambda: _lines(_FOUR, "1" * 50_000_000), "Line 2", "16777216 bytes"),
    _ndjson(
        "100,000 unknown columns",
        lambda: _lines("{" + ", ".join(f'"c{index}": 1' for index in range(100_000)) + "}"),
        "Line 1",
        "column c0",
        code=INVALID,
    ),
    _ndjson(
        "a carried value that is not JSON",
        _lines(an_object("penguins", id="0x1F")),
        "Line 1",
        "not JSON",
        model="penguins",
        query="carry=id",
    ),
    _ndjson(
        "a member twice within a carried value",
        _lines(an_object("penguins", id='{"a": 1, "a": 2}')),
        "Line 1",
        "more than once",
        code=INVALID,
        model="penguins",
        query="carry=id",
    ),
]

CASES: Final = [*_BOTH, *_JSON, *_NDJSON]
