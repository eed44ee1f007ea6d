"""Malformed CSV."""

import gzip
import zlib
from collections.abc import Callable
from typing import Final

from tests.bodies import ROWS
from tests.malformed.case import CSV, INVALID, MALFORMED, PARAMETER, Case

IRIS: Final = b"sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n"
_GOOD: Final = b"5.1,3.5,1.4,0.2\n"
_PENGUINS: Final = b"island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year\n"
_PENGUIN: Final = b"Dream,39.1,18.7,181,3750,male,2007\n"
_WIDTH: Final = "column petal width (cm)"
_NUMBER: Final = "must be a number"
_TYPED: Final = {name: value.strip('"') for name, value in ROWS["typed"].items()}
_PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0"


def _iris(name: str, content: bytes | Callable[[], bytes], *words: str, code: str = INVALID, query: str = "") -> Case:
    return Case(f"csv: {name}", "iris", CSV, content, code, words, query)


def _penguins(name: str, content: bytes, *words: str, code: str = INVALID, query: str = "") -> Case:
    return Case(f"csv: {name}", "penguins", CSV, content, code, words, query)


def _typed(column: str, value: str, *words: str) -> Case:
    """Make a case whose third line has another value in a column."""
    header = ",".join(_TYPED)
    rows = [",".join(_TYPED.values()), ",".join({**_TYPED, column: value}.values())]
    content = "\n".join([header, *rows, ""]).encode()
    return Case(
        f"csv: {column} is {value[:20]}", "typed", CSV, content, INVALID, ("Line 3", f"column {column}", *words)
    )


def _cell(name: str, cell: bytes, *words: str) -> Case:
    content = IRIS + _GOOD + b"5.1,3.5,1.4," + cell + b"\n" + _GOOD
    return _iris(f"a number is {name}", content, "Line 3", _WIDTH, *(words or (_NUMBER,)))


def _malformed_cell(name: str, cell: bytes, *words: str) -> Case:
    content = IRIS + _GOOD + b"5.1,3.5,1.4," + cell + b"\n" + _GOOD
    return _iris(f"a cell with {name}", content, "Line 3", _WIDTH, *words, code=MALFORMED)


_HEADERS: Final = [
    _iris("empty", b"", "Line 1", "no header"),
    _iris("only a mark of UTF-8", b"\xef\xbb\xbf", "Line 1", "no header"),
    _iris("only blank lines", b"\n\r\n\r\n", "Line 1", "no header"),
    _iris("a header without rows", IRIS, "no rows"),
    _iris("a header without its end", IRIS.strip(), "no rows"),
    _iris("a header and blank lines", IRIS + b"\r\n\n\r", "no rows"),
    _iris("a missing column", b"sepal length (cm),sepal width (cm),petal length (cm)\n1,2,3\n", "Line 1", _WIDTH),
    _iris("a renamed column", IRIS.replace(b"petal width (cm)", b"petal_width"), "Line 1", "column petal_width"),
    _iris("a capital in a name", IRIS.replace(b"petal width", b"Petal width"), 'mean "petal width (cm)"?'),
    _iris("a space before a name", IRIS.replace(b",petal width", b", petal width"), 'mean "petal width (cm)"?'),
    _iris("a column more", b"id," + IRIS + b"1," + _GOOD, "Line 1", "column id", "?carry=id"),
    _iris("an index without a name", b"," + IRIS + b"0," + _GOOD, "Line 1", 'column "":'),
    _iris("a column with a comma", b'"a,b&c",' + IRIS, "Line 1", "column a,b&c", "?carry=a%2Cb%26c"),
    _iris("a column twice", b"sepal width (cm)," + IRIS + b"1," + _GOOD, "column sepal width (cm)", "2 times"),
    _iris("no header where one is promised", _GOOD + _GOOD, "Line 1", "column 5.1", "no such column"),
    _iris("a header where none is promised", IRIS + _GOOD, "Line 1", _WIDTH, _NUMBER, query="header=false"),
    _iris("another delimiter", (IRIS + _GOOD).replace(b",", b";"), "Line 1", "column sepal length (cm)"),
    _iris("another delimiter than promised", IRIS + _GOOD, "Line 1", "is missing", query="delimiter=%09"),
    _iris("a carried column that is missing", IRIS + _GOOD, "Line 1", "column id", "`carry`", query="carry=id"),
    _iris("carrying without a header", _GOOD, "header", code=PARAMETER, query="header=false&carry=id"),
    _iris("carrying a prediction", IRIS, "prediction", "rename", code=PARAMETER, query="carry=prediction"),
    _iris("carrying a probability", IRIS, "proba_setosa", code=PARAMETER, query="carry=id,proba_setosa"),
    _iris("a delimiter that is a quote", IRIS, "`delimiter`", code=PARAMETER, query="delimiter=%22"),
    _iris("a delimiter that ends lines", IRIS, "`delimiter`", code=PARAMETER, query="delimiter=%0A"),
    _iris("two delimiters", IRIS, "`delimiter`", code=PARAMETER, query="delimiter=%3B%3B"),
    _iris("no delimiter", IRIS, "`delimiter`", code=PARAMETER, query="delimiter="),
    _iris("a delimiter beyond ASCII", IRIS, "`delimiter`", code=PARAMETER, query="delimiter=%C2%A7"),
    _iris("100,000 columns", lambda: b",".join(b"c%d" % i for i in range(100_000)), "Line 1", "column c0"),
    _iris("100,000 columns without a name", lambda: b"," * 100_000 + b"\n", "Line 1", "is missing"),
    _iris("a name of 1 MB", lambda: b"x" * 2**20 + b"," + IRIS + b"1," + _GOOD, "Line 1", "column xxx", "…"),
    _iris("a quote in the header that is never closed", b'"' + IRIS, "Line 1", "never closed", code=MALFORMED),
    _iris("a header that is not UTF-8", b"\xe9," + IRIS, "Line 1", "not UTF-8", code=MALFORMED),
    _iris("a NUL in the header", IRIS.replace(b"width", b"w\0dth", 1), "Line 1", "NUL", code=MALFORMED),
]

_OTHER_FORMATS: Final = [
    _iris("UTF-16", (IRIS + _GOOD).decode().encode("utf-16"), "Line 1", code=MALFORMED),
    _iris("UTF-16 without a mark", (IRIS + _GOOD).decode().encode("utf-16-le"), "Line 1", "NUL", code=MALFORMED),
    _iris("UTF-32", (IRIS + _GOOD).decode().encode("utf-32"), "Line 1", "NUL", code=MALFORMED),
    _iris("a picture", _PNG, "Line ", "NUL", code=MALFORMED),
    _iris("gzip without saying so", gzip.compress(IRIS + _GOOD), "Line 1", code=MALFORMED),
    _iris("zlib", zlib.compress(IRIS + _GOOD), "Line 1", code=MALFORMED),
    _iris("JSON", b'{"data": [[1, 2, 3, 4]]}', "Line 1", "quote in the middle", code=MALFORMED),
    _iris("HTML", b"<!doctype html>\n<p>Moved</p>\n", "Line 1", "column <!doctype html>"),
    _iris("Parquet", b"PAR1\x15\x04\x15\0\x15\0" + b"PAR1", "Line 1", "NUL", code=MALFORMED),
]

_ROWS: Final = [
    _iris("a row too short", IRIS + _GOOD + b"1,2,3\n", "Line 3", "3 cells", "must have 4"),
    _iris("a row too long", IRIS + _GOOD + b"1,2,3,4,5\n", "Line 3", "5 cells", "must have 4"),
    _iris("a row of one cell", IRIS + b"x\n" + _GOOD, "Line 2", "1 cell,"),
    _iris("every row with a comma more", IRIS + b"1,2,3,4,\n" * 200, "Line 101", "5 cells"),
    _iris("a comment", b"# measured by hand\n" + IRIS + _GOOD, "Line 1", "column # measured by hand"),
    _iris("a comment further down", IRIS + _GOOD + b"# again\n", "Line 3", "1 cell,"),
    _iris("a row of 100,000 cells", lambda: IRIS + b"1," * 100_000 + b"1\n", "Line 2", "100001 cells"),
    _iris("a line of 50 MB", lambda: IRIS + b"1" * 50_000_000 + b"\n", "Line 2", "8388608 bytes", code=MALFORMED),
    _iris("a body of 50 MB in one line", lambda: b"1," * 25_000_000, "Line 1", "8388608 bytes", code=MALFORMED),
    _iris(
        "a quoted cell of 50 MB",
        lambda: IRIS + b'1,2,3,"' + b"4\n" * 25_000_000 + b'"\n',
        "Line 2",
        "is a quote missing?",
        code=MALFORMED,
    ),
    _iris("20 MB of quotes", lambda: IRIS + b'"' * 20_000_000, "Line 2", "8388608 bytes", code=MALFORMED),
    _iris("20 MB of NUL", lambda: IRIS + _GOOD + b"\0" * 20_000_000, "Line 3", "8388608 bytes", code=MALFORMED),
    _iris("a fault after 100,000 rows", lambda: IRIS + _GOOD * 100_000 + b"1,2,3,x", "Line 100002", _WIDTH),
    _iris("a short row after 100,000", lambda: IRIS + _GOOD * 100_000 + b"1,2,3", "Line 100002", "3 cells"),
    _iris("a fault after blank lines", IRIS + b"\r\n\r\n\n\r" + b"1,2,3,x\r\n", "Line 6", _WIDTH),
    _iris("a fault where CR ends the lines", (IRIS + _GOOD).replace(b"\n", b"\r") + b"1,2,3,x\r", "Line 3", _WIDTH),
    _penguins(
        "a fault after lines within quotes",
        _PENGUINS + b'"a\nb\r\nc",1,2,3,4,"x\ny",2007\n' * 2 + b"d,1,2,3,4,x,y\n",
        "Line 10",
        "column year",
    ),
    _iris("all rows bad, 300 of them", IRIS + b"1,2,3,x\n" * 300, "Line 101", _WIDTH),
    _iris("text that turns into numbers", IRIS + b"a,b,c,d\n" + _GOOD, "Line 2", "column sepal length (cm)"),
]

_CELLS: Final = [
    _cell("a text", b"wide"),
    _cell("missing", b"", "must not be missing"),
    _cell("an empty text", b'""'),
    _cell("a space", b" "),
    _cell("NA", b"NA"),
    _cell("NaN", b"NaN"),
    _cell("nan with more", b"nan(1)"),
    _cell("infinite", b"inf"),
    _cell("infinite, in words", b"-Infinity"),
    _cell("too large", b"1e400", "too large"),
    _cell("too large in digits", b"9" * 400, "too large"),
    _cell("thousands of digits", b"9" * 5000, "too large"),
    _cell("hexadecimal", b"0x1F"),
    _cell("with an underscore", b"1_000"),
    _cell("with a comma", b'"0,2"'),
    _cell("with thousands", b"1 000"),
    _cell("with a unit", b"2mm"),
    _cell("a percentage", b"20%"),
    _cell("two signs", b"--2"),
    _cell("a sign", b"-"),
    _cell("a point", b"."),
    _cell("half an exponent", b"1e"),
    _cell("Arabic", "٢".encode()),
    _cell("full width", "２".encode()),
    _cell("a minus of typography", "−2".encode()),
    _cell("true", b"true"),
    _cell("a formula", b"=1+1"),
    _malformed_cell("a quote in the middle", b'5" wide', "quote in the middle"),
    _malformed_cell("a quote at its end", b'5"', "quote in the middle"),
    _malformed_cell("text after the quotes", b'"5" wide', "quote in the middle"),
    _malformed_cell("a space before the quotes", b' "5"', "quote in the middle"),
    _malformed_cell("a quote that is never closed", b'"5', "never closed"),
    _malformed_cell("a doubled quote that is never closed", b'"5""', "never closed"),
    _malformed_cell("a NUL", b"5\0", "NUL"),
    _malformed_cell("half a character", b"\xc3", "not UTF-8"),
    _malformed_cell("Latin-1", b"caf\xe9", "not UTF-8"),
    _malformed_cell("a surrogate", b"\xed\xa0\x80", "not UTF-8"),
    _malformed_cell("an overlong character", b"\xc0\xaf", "not UTF-8"),
    _malformed_cell("a character beyond Unicode", b"\xf4\x90\x80\x80", "not UTF-8"),
]

_TYPES: Final = [
    _typed("float32", "1e39", "too large"),
    _typed("int8", "128", "from -128 to 127"),
    _typed("int8", "0x7F", "from -128 to 127"),
    _typed("int16", "1.5", "from -32768 to 32767"),
    _typed("int64", "9223372036854775808", "an integer from"),
    _typed("int64", "1e18", "digits alone"),
    _typed("uint8", "-1", "from 0 to 255"),
    _typed("uint64", "18446744073709551616", "an integer from 0"),
    _typed("bool", "yes", "true or false"),
    _typed("bool", "2", "true or false"),
    _typed("boolean_or_na", "NA", "true or false", "?null=NA"),
    _typed("datetime_s", "2024-02-30T00:00:00", "is not a date and time"),
    _typed("datetime_s", "2024-02-29T12:00:00Z", "has an offset"),
    _typed("datetime_ms", "2024-02-29T12:00:00.0001", "keeps 3 digits"),
    _typed("datetime_ns", "1600-01-01T00:00:00", "between the years 1677 and 2262"),
    _typed("zoned", "2024-02-29T12:00:00", "has no offset"),
    _typed("date", "29.02.2024", "a date such as"),
    _typed("date", "2023-02-29", "is not a date"),
    _typed("date", "2024-02-29T00:00:00", "a date such as"),
    _typed("size", "smal", 'Did you mean "small"?'),
    _typed("size_or_nan", "nan", "?null=nan"),
    _typed("grade", "3", "one of 1, 2"),
    _typed("text", "", "must not be missing"),
    _penguins("an integer with a fraction", _PENGUINS + _PENGUIN.replace(b"2007", b"2007.5"), "Line 2", "column year"),
    _penguins("a missing integer", _PENGUINS + _PENGUIN.replace(b"2007", b""), "Line 2", "column year", "missing"),
    _penguins(
        "a text that is missing by request",
        _PENGUINS + _PENGUIN + _PENGUIN.replace(b"Dream", b"?"),
        "Line 3",
        "column island",
        "must not be missing",
        query="null=%3F",
    ),
    Case(
        "csv: a text of 2 MB",
        "texts",
        CSV,
        lambda: b"text\nfine\n" + b"x" * 2**21 + b"\n",
        INVALID,
        ("Line 3", "column text", "at most 1048576"),
    ),
]

CASES: Final = [*_HEADERS, *_OTHER_FORMATS, *_ROWS, *_CELLS, *_TYPES]
