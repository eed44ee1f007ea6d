"""Rows that models accept, and values and bodies that they refuse, as JSON that a client could send."""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from shared.columns import INTEGER_RANGES

_DAY: Final = "2024-02-29"
_NOON: Final = '"2024-02-29T12:00:00"'

ROWS: Final[dict[str, dict[str, str]]] = {
    "iris": {
        "sepal length (cm)": "5.1",
        "sepal width (cm)": "3.5",
        "petal length (cm)": "1.4",
        "petal width (cm)": "0.2",
    },
    "penguins": {
        "island": '"Torgersen"',
        "bill_length_mm": "39.1",
        "bill_depth_mm": "18.7",
        "flipper_length_mm": "181.0",
        "body_mass_g": "3750.0",
        "sex": '"male"',
        "year": "2007",
    },
    "typed": {
        "float32": "1.5",
        "float64": "1.5",
        **dict.fromkeys(sorted(each.value for each in INTEGER_RANGES), "1"),
        "float64_or_nan": "0.5",
        "Int64_or_na": "1",
        **dict.fromkeys((f"datetime_{unit}" for unit in ("s", "ms", "us", "ns")), _NOON),
        "zoned": f'"{_DAY}T12:00:00+01:00"',
        "datetime_or_nat": _NOON,
        "bool": "true",
        "boolean_or_na": "false",
        "text": '"a"',
        "text_or_nan": '"a"',
        "date": f'"{_DAY}"',
        "date_or_none": f'"{_DAY}"',
        "size": '"small"',
        "size_or_nan": '"large"',
        "grade": "1",
        "fit/fat ~": '"fit"',
    },
}
"""A valid row of each model with columns: the JSON of each value by the name of its column, in order."""


class Refusal(NamedTuple):
    """A body that is refused with 422: the pointer of the fault, and words of its detail."""

    model: str
    body: bytes
    pointer: str
    words: tuple[str, ...]


def body(*rows: str) -> bytes:
    """Return a body with rows that are JSON."""
    return f'{{"data": [{", ".join(rows)}]}}'.encode()


def array(model: str, **changes: str) -> str:
    """Return a valid row as an array, with some values changed."""
    return f"[{', '.join((ROWS[model] | changes).values())}]"


def an_object(model: str, **changes: str) -> str:
    """Return a valid row as an object, with some values changed or added."""
    members = (ROWS[model] | changes).items()
    return f"{{{', '.join(f'{json.dumps(name)}: {value}' for name, value in members)}}}"


def without(model: str, *columns: str) -> str:
    """Return a valid row as an object, without some columns."""
    left = {name: json.loads(value) for name, value in ROWS[model].items() if name not in columns}
    return json.dumps(left)


def refusals() -> Iterator[Refusal]:
    """Yield each refused value in an array and in an object, then the other refused bodies."""
    for model, column, value, *words in _VALUES:
        index = list(ROWS[model]).index(column)
        escaped = column.replace("~", "~0").replace("/", "~1")
        expected = (json.dumps(column), *words)
        yield Refusal(model, body(array(model), array(model, **{column: value})), f"/data/1/{index}", expected)
        yield Refusal(
            model, body(an_object(model), an_object(model, **{column: value})), f"/data/1/{escaped}", expected
        )
    for model, content, pointer, *words in _BODIES:
        yield Refusal(model, content, pointer, tuple(words))


_NUMBER: Final = "must be a number"
_INT8: Final = "an integer from -128 to 127"
_UINT8: Final = "an integer from 0 to 255"
_INT64: Final = f"an integer from {-(2**63)} to {2**63 - 1}"
_UINT64: Final = f"an integer from 0 to {2**64 - 1}"
_BOOL: Final = "must be true or false"
_NAIVE: Final = "a date and time without an offset, such as 2026-01-31T12:00:00"
_ZONED: Final = "a date and time with an offset, such as 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00"
_DATE: Final = "a date such as 2026-01-31"
_MISSING: Final = "must not be missing: send "
_NULL: Final = "A missing value is null."
_FAR: Final = "this number is too large"
_DIGITS: Final = "9" * 5000

_VALUES: Final[list[tuple[str, ...]]] = [
    ("iris", "sepal width (cm)", '"4"', _NUMBER, '"4" is not'),
    ("iris", "sepal width (cm)", "false", _NUMBER),
    ("iris", "sepal width (cm)", "null", _MISSING + "a number"),
    ("iris", "sepal width (cm)", "[1]", _NUMBER, "an array is not"),
    ("iris", "sepal width (cm)", '{"a": 1}', _NUMBER, "an object is not"),
    ("iris", "sepal width (cm)", "1e400", _FAR, "float64"),
    ("iris", "sepal width (cm)", "-1e400", _FAR, "float64"),
    ("iris", "sepal width (cm)", "1" + "0" * 309, _FAR, "float64"),
    ("iris", "sepal width (cm)", _DIGITS, _FAR, "float64"),
    ("iris", "sepal width (cm)", "-" + _DIGITS, _FAR, "float64"),
    ("iris", "sepal width (cm)", '"NaN"', _NUMBER),
    ("iris", "sepal width (cm)", '"Infinity"', _NUMBER),
    ("penguins", "bill_length_mm", '"NaN"', _NUMBER, _NULL),
    ("penguins", "bill_length_mm", '"NA"', _NUMBER, _NULL),
    ("penguins", "bill_length_mm", '""', _NUMBER, _NULL),
    ("penguins", "bill_length_mm", '"-Infinity"', _NUMBER),
    ("penguins", "bill_length_mm", "true", _NUMBER),
    ("penguins", "year", "null", _MISSING + _INT64),
    ("penguins", "year", "2007.5", _INT64),
    ("penguins", "year", '"2007"', _INT64),
    ("penguins", "year", "true", _INT64),
    ("penguins", "year", "9007199254740993.0", "write it with its digits alone"),
    ("penguins", "year", "1e17", "write it with its digits alone"),
    ("penguins", "year", "1e400", _INT64, "a number this large is not"),
    ("penguins", "year", "9223372036854775808", _INT64),
    ("penguins", "year", "-9223372036854775809", _INT64),
    ("penguins", "island", "null", _MISSING + "a string"),
    ("penguins", "island", "1", "must be a string"),
    ("penguins", "island", '["Dream"]', "must be a string"),
    ("penguins", "sex", "false", "must be a string"),
    ("typed", "float32", "1e39", _FAR, "float32"),
    ("typed", "float32", "-1e39", _FAR, "float32"),
    ("typed", "float32", "3.4028235677973366e38", _FAR, "float32"),
    ("typed", "float64", "1e400", _FAR, "float64"),
    ("typed", "float64", "null", _MISSING + "a number"),
    ("typed", "int8", "128", _INT8),
    ("typed", "int8", "-129", _INT8),
    ("typed", "int8", "3.5", _INT8),
    ("typed", "int16", "32768", "from -32768 to 32767"),
    ("typed", "int32", "2147483648", "from -2147483648 to 2147483647"),
    ("typed", "int64", "9223372036854775808", _INT64),
    ("typed", "int64", _DIGITS, _INT64),
    ("typed", "uint8", "-1", _UINT8),
    ("typed", "uint8", "256", _UINT8),
    ("typed", "uint8", "1e3", _UINT8, "1000 is not"),
    ("typed", "uint16", "65536", "from 0 to 65535"),
    ("typed", "uint32", "4294967296", "from 0 to 4294967295"),
    ("typed", "uint64", "18446744073709551616", _UINT64),
    ("typed", "uint64", "-1", _UINT64),
    ("typed", "Int64_or_na", "1.5", _INT64),
    ("typed", "Int64_or_na", '"NA"', _INT64, _NULL),
    ("typed", "bool", "1", _BOOL, "1 is not"),
    ("typed", "bool", "0.0", _BOOL),
    ("typed", "bool", '"true"', _BOOL),
    ("typed", "bool", "null", _MISSING + "true or false"),
    ("typed", "boolean_or_na", '"None"', _BOOL, _NULL),
    ("typed", "text", "3", "must be a string"),
    ("typed", "text", "null", _MISSING + "a string"),
    ("typed", "text", json.dumps("é" * 600_000), "has 1200000 bytes", "at most 1048576 (SEPAL_MAX_TEXT_BYTES)"),
    ("typed", "text_or_nan", "{}", "must be a string", "an object is not"),
    ("typed", "datetime_s", '"2024-02-29T12:00:00Z"', _NAIVE, "has an offset"),
    ("typed", "datetime_s", '"2024-02-29T12:00:00.5"', "keeps 0 digits of a second", "round it"),
    ("typed", "datetime_s", '"2024-02-30"', _NAIVE, "is not a date and time"),
    ("typed", "datetime_s", '"2023-02-29T00:00:00"', _NAIVE, "is not a date and time"),
    ("typed", "datetime_s", '"2024-02-29T24:00:00"', _NAIVE),
    ("typed", "datetime_s", '"2024-02-29T12:60:00"', _NAIVE),
    ("typed", "datetime_s", '"2024-02-29T12:00:60"', _NAIVE),
    ("typed", "datetime_s", '"0000-01-01"', _NAIVE),
    ("typed", "datetime_s", '"24-02-29"', _NAIVE),
    ("typed", "datetime_s", '"2024-02-29 "', _NAIVE),
    ("typed", "datetime_s", '"٢٠٢٤-02-29"', _NAIVE),
    ("typed", "datetime_s", "1709208000", _NAIVE, "1709208000 is not"),
    ("typed", "datetime_s", "null", _MISSING + _NAIVE),
    ("typed", "datetime_ms", '"2024-02-29T12:00:00.0001"', "keeps 3 digits of a second"),
    ("typed", "datetime_us", '"2024-02-29T12:00:00.0000001"', "keeps 6 digits of a second"),
    ("typed", "datetime_ns", '"2024-02-29T12:00:00.0000000001"', _NAIVE),
    ("typed", "datetime_ns", '"1677-09-21T00:12:43"', "between the years 1677 and 2262"),
    ("typed", "datetime_ns", '"2262-04-11T23:47:17"', "between the years 1677 and 2262"),
    ("typed", "zoned", '"2024-02-29T12:00:00"', _ZONED, "has no offset"),
    ("typed", "zoned", '"2024-02-29"', _ZONED, "has no offset"),
    ("typed", "zoned", '"2024-02-29T12:00:00+24:00"', _ZONED, "not an offset"),
    ("typed", "zoned", '"2024-02-29T12:00:00+01"', _ZONED),
    ("typed", "zoned", '"2024-02-29T12:00:00 Europe/Zurich"', _ZONED),
    ("typed", "zoned", '"0001-01-01T00:00:00+01:00"', _ZONED),
    ("typed", "zoned", '"9999-12-31T23:59:59-01:00"', _ZONED),
    ("typed", "datetime_or_nat", '"NaT"', _NAIVE, _NULL),
    ("typed", "date", '"2024-02-30"', _DATE, "is not a date"),
    ("typed", "date", '"2024-02-29T00:00:00"', _DATE),
    ("typed", "date", '"29.02.2024"', _DATE),
    ("typed", "date", "20240229", _DATE),
    ("typed", "date", "null", _MISSING + _DATE),
    ("typed", "date_or_none", '"null"', _DATE, _NULL),
    ("typed", "size", '"Small"', 'one of "small", "large"', 'Did you mean "small"?'),
    ("typed", "size", '"smal"', 'Did you mean "small"?'),
    ("typed", "size", '"xxl"', 'one of "small", "large"'),
    ("typed", "size", "null", _MISSING + 'one of "small", "large"'),
    ("typed", "size", "1", "must be a string"),
    ("typed", "size_or_nan", '"nan"', _NULL),
    ("typed", "grade", "3", "one of 1, 2"),
    ("typed", "grade", "true", "an integer"),
    ("typed", "grade", '"1"', "an integer"),
    ("typed", "fit/fat ~", '"fot"', 'one of "fat", "fit"'),
]
"""The model, the column, the JSON of the value, and words of the detail."""


def _texts(*texts: Any) -> bytes:
    return json.dumps({"data": texts}).encode()


_ORDER: Final = ', in this order: "island", "bill_length_mm"'
_ROW: Final = "must be an array of values, or an object by column name"
_FORMS: Final = "Send all rows as arrays, or all as objects"

_DEEP: Final = "/data" + "/0/a" * 200 + "/a"

_BODIES: Final[list[tuple[Any, ...]]] = [
    ("iris", array("iris").encode(), "", 'an object with the member "data"'),
    ("iris", b"null", "", 'an object with the member "data"'),
    ("iris", b'"data"', "", 'an object with the member "data"'),
    ("iris", b"{}", "/data", "an array of 1 to 10000 rows", "it is missing"),
    ("iris", b'{"data": []}', "/data", "an array of 1 to 10000 rows", "it has 0"),
    ("iris", b'{"data": {}}', "/data", "an array of 1 to 10000 rows", "an object is not"),
    ("iris", b'{"data": null}', "/data", "an array of 1 to 10000 rows", "null is not"),
    ("iris", body(*[array("iris")] * 10_001), "/data", "an array of 1 to 10000 rows", "it has 10001"),
    ("iris", body("[]"), "/data/0", "4 columns", "0 values"),
    ("iris", body("[1, 2, 3]"), "/data/0", "4 columns", "3 values", '"sepal length (cm)"'),
    ("iris", body(array("iris"), "[1, 2, 3, 4, 5]"), "/data/1", "4 columns", "5 values"),
    ("iris", body("1", "2", "3", "4"), "/data/0", _ROW),
    ("iris", body('"5.1"'), "/data/0", _ROW),
    ("iris", body("null"), "/data/0", _ROW),
    ("iris", body(array("iris"), an_object("iris")), "/data/1", _FORMS),
    ("iris", body(an_object("iris"), array("iris")), "/data/1", _FORMS),
    ("iris", b'{"data": [[1, 2, 3, 4]], "data": [[1, 2, 3, 4]]}', "/data", '"data"', "more than once: send it once"),
    ("iris", b'{"data": [[1, 2, 3, 4]], "d\\u0061ta": [[1, 2, 3, 4]]}', "/data", "more than once"),
    ("iris", b'{"data": [[1, 2, 3, 4]], "output": []}', "/output", '"output"', 'may have "outputs"'),
    ("iris", b'{"data": [[1, 2, 3, 4]], "a/b~c": 1}', "/a~1b~0c", '"a/b~c"', 'may have "outputs"'),
    ("iris", b'{"Data": [[1, 2, 3, 4]]}', "/Data", '"Data"', 'may have "outputs"'),
    ("iris", body(without("iris", "petal width (cm)")), "/data/0", '"petal width (cm)"', _MISSING + "a number"),
    ("penguins", body(array("penguins"), "[1]"), "/data/1", "7 columns" + _ORDER, "1 value"),
    ("penguins", body(an_object("penguins", bill_lenght_mm="1")), "/data/0/bill_lenght_mm", '"bill_length_mm"?'),
    ("penguins", body(an_object("penguins", Island="1")), "/data/0/Island", 'Did you mean "island"?'),
    ("penguins", body(an_object("penguins", colour="1")), "/data/0/colour", "The columns are:", '"sex", "year"'),
    ("penguins", body(an_object("penguins", **{"": "1"})), "/data/0/", 'no column ""'),
    ("penguins", body(an_object("penguins", **{"a/~é": "1"})), "/data/0/a~1~0é", 'no column "a/~é"'),
    ("penguins", body(an_object("penguins")[:-1] + ', "year": 1}'), "/data/0/year", "more than once: send it once"),
    ("penguins", body(an_object("penguins")[:-1] + ', "ye\\u0061r": 1}'), "/data/0/year", "more than once"),
    (
        "penguins",  # as many members as columns, one of them absent
        body(without("penguins", "sex")[:-1] + ', "year": 1}'),
        "/data/0/year",
        "more than once: send it once",
    ),
    (
        "penguins",  # as many members as columns in all rows
        body(without("penguins", "sex"), an_object("penguins")[:-1] + ', "year": 1}'),
        "/data/1/year",
        "more than once: send it once",
    ),
    ("iris", body('[1, 2, 3, {"a": 1, "b": [{"c": 1, "\\u0063": 2}]}]'), "/data/0/3/b/0/c", '"c"', "more than once"),
    ("iris", b'{"data": [[1, 2, 3, 4]], "x/y": {"~": [0, {"a": 1, "a": 1}]}}', "/x~1y/~0/1/a", "more than once"),
    ("iris", b'{"data": [[1, 2, 3, 4]], "outputs": [{"a": 1, "a": 1}]}', "/outputs/0/a", "more than once"),
    ("iris", b'[{"a": 1, "a": 1}]', "/0/a", "more than once"),
    ("penguins", body(an_object("penguins", sex='{"a": 1, "a": 1}')), "/data/0/sex/a", "more than once"),
    ("texts", b'{"data": ["a"], "outputs": ["prediction"], "outp\\u0075ts": []}', "/outputs", "more than once"),
    ("texts", b'{"data": [{"a": {"b": 1, "b": 1}}]}', "/data/0/a/b", "more than once"),
    ("iris", b'{"data": ' + b'[{"a": ' * 200 + b'{"a": 1, "a": 2}' + b"}]" * 200 + b"}", _DEEP, "more than once"),
    ("penguins", body(without("penguins", "year")), "/data/0", '"year"', _MISSING + _INT64),
    ("penguins", body("{}"), "/data/0", '"island"', _MISSING + "a string"),
    ("penguins", body(an_object("penguins"), "[]"), "/data/1", _FORMS),
    ("typed", body(without("typed", "size")), "/data/0", '"size"', _MISSING + "one of"),
    ("typed", body(an_object("typed", **{"fit/fat": '"fit"'})), "/data/0/fit~1fat", 'Did you mean "fit/fat ~"?'),
    ("typed", body(an_object("typed")[:-1] + ', "bool": true}'), "/data/0/bool", "more than once"),
    ("texts", _texts(1), "/data/0", "must be a string", "1 is not"),
    ("texts", _texts("a", None), "/data/1", '"text"', _MISSING + "a string"),
    ("texts", _texts("a", True), "/data/1", "must be a string"),
    ("texts", _texts(["a"]), "/data/0", "must be a string", "an array is not"),
    ("texts", _texts({"text": "a"}), "/data/0", "must be a string", "an object is not"),
    ("texts", _texts("a", "é" * 600_000), "/data/1", "has 1200000 bytes", "SEPAL_MAX_TEXT_BYTES"),
    ("texts", b'{"data": "a"}', "/data", "an array of 1 to 10000 rows", '"a" is not'),
    ("texts", b'{"data": ["a"], "data": ["b"]}', "/data", "more than once"),
]
"""The model, the body, the pointer, and words of the detail."""

MALFORMED: Final[list[tuple[str, bytes, str]]] = [
    *(
        ("iris", body(f"[1, 2, 3, {literal}]"), f"{literal} is not a number")
        for literal in ("NaN", "Infinity", "-Infinity")
    ),
    ("penguins", body(an_object("penguins", sex="NaN")), "a missing value is null"),
    ("penguins", body(an_object("penguins", sex='"\\ud800"')), "lone surrogate"),
    ("penguins", body(an_object("penguins", sex='"\\udfff\\ud800"')), "lone surrogate"),
    ("penguins", body(an_object("penguins")[:-1] + ', "\\ud800": 1}'), "lone surrogate"),
    ("penguins", b'{"data": [], "\\ud800": 1}', "lone surrogate"),
    ("penguins", b'{"data": [{"sex": "\xff"}]}', "not UTF-8"),
    ("penguins", b'{"data": [{"sex": "\xed\xa0\x80"}]}', "not UTF-8"),
    ("penguins", b'{"data": [{"sex": "a\x01"}]}', "control character"),
    ("penguins", b'{"data": [{"sex": "a\nb"}]}', "control character"),
    ("penguins", b"", "not JSON"),
    ("penguins", b"\xef\xbb\xbf" + body(array("penguins")), "not JSON"),
    ("penguins", body(array("penguins")).decode().encode("utf-16"), "not UTF-8"),
    ("penguins", body(array("penguins"))[:-1], "not JSON"),
    ("penguins", body(array("penguins")) + b"]", "not JSON"),
    ("penguins", body(array("penguins"), ""), "not JSON"),
    ("penguins", b"{'data': []}", "not JSON"),
    ("iris", body("[1, 2, 3, 04]"), "not JSON"),
    ("iris", body("[1, 2, 3, 4.]"), "not JSON"),
    ("iris", body("[1, 2, 3, +4]"), "not JSON"),
    ("iris", body("[1, 2, 3, 4,]"), "not JSON"),
    ("iris", body(f"[1, 2, 3, {_DIGITS}]")[:-1], "not JSON"),
    ("iris", b'{"data": ' + b"[" * 100_000, "nested too deeply"),
    ("iris", b'{"data": ' + b'{"a":' * 100_000, "nested too deeply"),
    ("iris", body("[1, 2, 3, 4]" + " " * 2_000_000)[:-1], "not JSON"),
    ("iris", body("[1, 2, 3, 4]" + " " * 2_000_000) + b"\xff", "not UTF-8"),
    ("texts", b'{"data": ["\\ud83d"]}', "lone surrogate"),
    ("texts", b'{"data": ["a\x00"]}', "control character"),
    ("texts", b'{"data": ["a]}', "not JSON"),
]
"""The model, a body that is refused with 400, and words of the detail."""
