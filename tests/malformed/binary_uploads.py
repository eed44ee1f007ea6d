"""Malformed Arrow and Parquet: truncated, of wrong types, or with false lengths."""

import io
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from tests.malformed.case import ARROW, INVALID, MALFORMED, PARQUET, TOO_LARGE, Case

_N_ROWS: Final = 77  # a number that stands nowhere else in a footer or in metadata
_ISLANDS: Final = [f"island {index}" for index in range(_N_ROWS)]


def penguins(**changes: Any) -> Any:
    """Return a table that the model takes, with other columns; None takes a column away."""
    columns: dict[str, Any] = {
        "island": pa.array(_ISLANDS),
        "bill_length_mm": pa.array([None, *[39.1] * (_N_ROWS - 1)]),
        "bill_depth_mm": pa.array([18.7] * _N_ROWS),
        "flipper_length_mm": pa.array([181.0] * _N_ROWS),
        "body_mass_g": pa.array([3750.0] * _N_ROWS),
        "sex": pa.array([None, *["male"] * (_N_ROWS - 1)]),
        "year": pa.array(range(2000, 2000 + _N_ROWS)),
    }
    return pa.table({name: column for name, column in {**columns, **changes}.items() if column is not None})


def stream(table: Any, **options: Any) -> bytes:
    """Write a table as an Arrow stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def file(table: Any) -> bytes:
    """Write a table as an Arrow file."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet_of(table: Any, **options: Any) -> bytes:
    """Write a table as Parquet."""
    sink = io.BytesIO()
    parquet.write_table(table, sink, **options)
    return sink.getvalue()


def _of_both(name: str, table: Any, *words: str, query: str = "") -> list[Case]:
    return [
        Case(f"arrow: {name}", "penguins", ARROW, stream(table), INVALID, words, query),
        Case(f"parquet: {name}", "penguins", PARQUET, parquet_of(table), INVALID, words, query),
    ]


def _with(value: Any, type_: Any = None) -> Any:
    """Return a column whose sixth value is given."""
    return pa.array([*[value] * 5, value, *[value] * (_N_ROWS - 6)], type_)


def _sixth(good: Any, bad: Any, type_: Any = None) -> Any:
    return pa.array([*[good] * 5, bad, *[good] * (_N_ROWS - 6)], type_)


_MOMENT: Final = datetime(2024, 2, 29, 12, tzinfo=UTC)
_SCHEMAS: Final = [
    *_of_both("a missing column", penguins(year=None), "Column year", "is missing"),
    *_of_both("an unknown column", penguins(id=pa.array(range(_N_ROWS))), "Column id", "?carry=id"),
    *_of_both("a misspelt column", penguins(sex=None, Sex=_with("male")), "Column Sex", 'mean "sex"?'),
    *_of_both("a carried column that is missing", penguins(), "Column id", "`carry`", query="carry=id"),
    *_of_both("a carried column of lists", penguins(id=_with([1])), "Column id", "cannot be carried", query="carry=id"),
    *_of_both("text for a number", penguins(body_mass_g=_with("3750")), "Column body_mass_g", "must be a number"),
    *_of_both("a number for text", penguins(island=_with(1)), "Column island", "must be a string"),
    *_of_both("a boolean for a number", penguins(body_mass_g=_with(True)), "Column body_mass_g", "bool"),
    *_of_both("a boolean for an integer", penguins(year=_with(True)), "Column year", "must be an integer"),
    *_of_both("a date for an integer", penguins(year=_with(_MOMENT.date())), "Column year", "date32"),
    *_of_both("a time for a number", penguins(body_mass_g=_with(_MOMENT)), "Column body_mass_g", "timestamp"),
    *_of_both("a list for a number", penguins(body_mass_g=_with([1.0])), "Column body_mass_g", "list"),
    *_of_both("a struct for a number", penguins(body_mass_g=_with({"a": 1})), "Column body_mass_g", "struct"),
    *_of_both("no columns but an index", pa.table({"__index_level_0__": [1]}), "Column island", "is missing"),
    *_of_both("no rows", penguins().slice(0, 0), "no rows"),
]

_VALUES: Final = [
    *_of_both("a missing integer", penguins(year=_sixth(2007, None)), "Row 5", "column year", "must not be missing"),
    *_of_both("NaN for an integer", penguins(year=_sixth(2007.0, float("nan"))), "Row 5", "must not be missing"),
    *_of_both("a missing text", penguins(island=_sixth("Dream", None)), "Row 5", "column island"),
    *_of_both("infinity", penguins(body_mass_g=_sixth(1.0, float("-inf"))), "Row 5", "column body_mass_g"),
    *_of_both("an integer that is no float64", penguins(body_mass_g=_sixth(1, 2**53 + 1)), "Row 5", "2^53"),
    *_of_both("a fraction as integer", penguins(year=_sixth(2007.0, 2007.5)), "Row 5", "column year"),
    *_of_both("digits that may be lost", penguins(year=_sixth(2007.0, 1e17)), "Row 5", "digits alone"),
    *_of_both("an integer too large", penguins(year=_sixth(1, 2**63, pa.uint64())), "Row 5", "column year"),
    *_of_both(
        "a decimal as integer",
        penguins(year=_sixth(Decimal("2007.0"), Decimal("2007.5"))),
        "Row 5",
        "column year",
    ),
    *_of_both("bytes that are no text", penguins(island=_sixth(b"Dream", b"\xff")), "Row 5", "UTF-8"),
    *_of_both("a text too long", penguins(island=_sixth("Dream", "x" * 2**21)), "Row 5", "at most 1048576"),
    *_of_both(
        "a missing category",
        penguins(island=_sixth("Dream", None).dictionary_encode()),
        "Row 5",
        "column island",
    ),
]


def _arrow(name: str, content: bytes | Callable[[], bytes], *words: str, code: str = MALFORMED) -> Case:
    return Case(f"arrow: {name}", "penguins", ARROW, content, code, words)


def _parquet(name: str, content: bytes | Callable[[], bytes], *words: str, code: str = MALFORMED) -> Case:
    return Case(f"parquet: {name}", "penguins", PARQUET, content, code, words)


def _replaced(content: bytes, old: bytes, new: bytes, index: int = 0) -> bytes:
    """Replace one of the places where some bytes stand by as many others."""
    assert len(old) == len(new)
    at = -1
    for _ in range(index + 1):
        at = content.index(old, at + 1)
    return content[:at] + new + content[at + len(old) :]


def _int64(number: int) -> bytes:
    return struct.pack("<q", number)


def _varint(number: int) -> bytes:
    """Write a number as Thrift's compact protocol does, in two bytes."""
    zigzag = number << 1
    return bytes([zigzag & 127 | 128, zigzag >> 7])


_STREAM: Final = stream(penguins())
_ZSTD: Final = stream(penguins(island=_with("x" * 1000)), compression="zstd")
_DICTIONARY: Final = stream(penguins(sex=pa.array(["male", "female"] * 38 + ["male"]).dictionary_encode()))
_SCHEMA_BYTES: Final = 8 + struct.unpack_from("<i", _STREAM, 4)[0]
_BATCH: Final = _STREAM[_SCHEMA_BYTES:]
_METADATA: Final = struct.unpack_from("<i", _BATCH, 4)[0]


def _batch(old: int, new: int, index: int = 0) -> bytes:
    """Replace a number in the metadata of the record batch."""
    head = _replaced(_BATCH[: 8 + _METADATA], _int64(old), _int64(new), index)
    return _STREAM[:_SCHEMA_BYTES] + head + _BATCH[8 + _METADATA :]


_ARROW: Final = [
    _arrow("empty", b"", "empty", "schema"),
    _arrow("text", b"island,bill_length_mm\nDream,39.1\n", "The schema"),
    _arrow("Parquet", parquet_of(penguins()), "The schema"),
    _arrow("only the schema", _STREAM[:_SCHEMA_BYTES], "Record batch 0", "truncated"),
    _arrow("no end marker", _STREAM[:-8], "Record batch 1", "truncated", "end marker"),
    _arrow("half an end marker", _STREAM[:-4], "Record batch 1"),
    _arrow("a byte after the end marker", _STREAM + b"x", "Record batch 1", "1 bytes follow"),
    _arrow("two streams", _STREAM * 2, "Record batch 1", "bytes follow the end marker"),
    *(_arrow(f"cut off after {n} of 10", _STREAM[: n * len(_STREAM) // 10], "Record batch 0") for n in range(5, 10)),
    *(_arrow(f"cut off in the schema, {n}", _STREAM[: n * _SCHEMA_BYTES // 4], "The schema") for n in (1, 2, 3)),
    _arrow("a schema of 2 GB", b"\xff\xff\xff\xff" + struct.pack("<i", 2**31 - 1) + _STREAM[8:], "The schema"),
    _arrow("a negative size", b"\xff\xff\xff\xff" + struct.pack("<i", -8) + _STREAM[8:], "schema"),
    _arrow("more rows than there are", _batch(_N_ROWS, 1_000_000), "Record batch 0"),
    _arrow("fewer rows than a column has", _batch(_N_ROWS, 7), "Record batch 0"),
    _arrow("a negative number of rows", _batch(_N_ROWS, -1), "Record batch 0"),
    _arrow("2^62 rows", _batch(_N_ROWS, 2**62), "Record batch 0"),
    _arrow("a column of another length", _batch(_N_ROWS, 7, 1), "Record batch 0"),
    _arrow("a column with 2^62 rows", _batch(_N_ROWS, 2**62, 2), "Record batch 0"),
    _arrow("a buffer beyond the body", _batch(8 * _N_ROWS, 2**40), "Record batch 0"),
    _arrow("a buffer of a negative length", _batch(8 * _N_ROWS, -8), "Record batch 0"),
    _arrow("a buffer that is too short", _batch(8 * _N_ROWS, 8), "Record batch 0"),
    _arrow(
        "offsets that go back",
        _replaced(_STREAM, b"\0\0\0\0\x08\0\0\0\x10\0\0\0", b"\0\0\0\0\x18\0\0\0\x10\0\0\0"),
        "Record batch 0",
    ),
    _arrow("texts that are not UTF-8", _replaced(_STREAM, b"island 5", b"island\xff5"), "Record batch 0", "UTF8"),
    _arrow("a column's name that is not UTF-8", _replaced(_STREAM, b"island", b"\xffsland"), "The schema"),
    _arrow("compressed, and cut off", _ZSTD[:-100], "Record batch 0"),
    _arrow(
        "compressed to another length",
        _replaced(_ZSTD, _int64(77_000), _int64(10**12)),
        "Record batch 0",
        code=TOO_LARGE,
    ),
    _arrow("compressed to a length too short", _replaced(_ZSTD, _int64(77_000), _int64(700)), "Record batch 0"),
    _arrow("a bad frame of zstd", _replaced(_ZSTD, b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfe"), "Record batch 0"),
    _arrow(
        "an index beyond its dictionary",
        _DICTIONARY.replace(b"\1\0\0\0\0\0\0\0\1\0\0\0", b"\x63\0\0\0\0\0\0\0\1\0\0\0"),
        "Record batch 0",
    ),
    _arrow("a file without its footer", file(penguins())[:-20], "The schema"),
    _arrow("a file cut off", file(penguins())[:1000], "The schema"),
    _arrow("a file with bytes after it", file(penguins()) + b"xxxxxxxx", "The schema"),
    _arrow("a file of zeros", b"ARROW1\0\0" + bytes(1000) + b"ARROW1", "The schema"),
]

# Without levels of repetition and definition, whose histograms would have the number of rows, too.
_REQUIRED: Final = pa.schema(
    [field.with_nullable(penguins()[field.name].null_count > 0) for field in penguins().schema]
)
_PLAIN: Final = parquet_of(penguins().cast(_REQUIRED), compression="none", use_dictionary=False)
_CHECKED: Final = parquet_of(penguins(), compression="none", use_dictionary=False, write_page_checksum=True)
_FOOTER: Final = struct.unpack("<i", _PLAIN[-8:-4])[0] + 8


def _footer(old: int, new: int, index: int = 0) -> bytes:
    """Replace a number of rows in the footer, of a column chunk, the row group or the file."""
    at = len(_PLAIN) - _FOOTER
    return _PLAIN[:at] + _replaced(_PLAIN[at:], _varint(old), _varint(new), index)


def _group_rows() -> Iterator[Case]:
    """Make cases with numbers of rows that do not agree: of the file, the row group and each column chunk."""
    count = _PLAIN[-_FOOTER:].count(_varint(_N_ROWS))
    for index in range(count):
        for n_rows in (70, 100):
            yield _parquet(f"{n_rows} rows at place {index}", _footer(_N_ROWS, n_rows, index), "ow")


# An empty histogram of levels, followed by one of two, with their lengths exchanged.
_HISTOGRAM: Final = _replaced(
    parquet_of(penguins(), compression="none", use_dictionary=False), b"\x29\x06\x19\x26", b"\x29\x26\x19\x06"
)
_PARQUET: Final = [
    _parquet("empty", b"", "begin with PAR1"),
    _parquet("text", b"island,bill_length_mm\nDream,39.1\n", "begin with PAR1"),
    _parquet("an Arrow stream", _STREAM, "begin with PAR1"),
    _parquet("no columns", parquet_of(pa.table({})), "Column island", "is missing", code=INVALID),
    _parquet("nothing but its magic", b"PAR1PAR1", "The footer"),
    _parquet("without its end", _PLAIN[:-1], "The footer"),
    *(_parquet(f"cut off after {n} of 10", _PLAIN[: n * len(_PLAIN) // 10], "The footer") for n in range(1, 10)),
    _parquet("with bytes after its end", _PLAIN + b"\n", "The footer"),
    _parquet("encrypted", _PLAIN[:-4] + b"PARE", "The footer"),
    _parquet("a footer of 2 GB", _PLAIN[:-8] + struct.pack("<i", 2**31 - 1) + b"PAR1", "The footer"),
    _parquet("a footer of a negative size", _PLAIN[:-8] + struct.pack("<i", -1) + b"PAR1", "The footer"),
    _parquet("a footer too short", _PLAIN[:-8] + struct.pack("<i", 10) + b"PAR1", "The footer"),
    _parquet("a footer of zeros", _PLAIN[:-_FOOTER] + bytes(_FOOTER - 8) + _PLAIN[-8:], "The footer"),
    _parquet("a footer of ones", _PLAIN[:-_FOOTER] + b"\xff" * (_FOOTER - 8) + _PLAIN[-8:], "The footer"),
    _parquet("data of zeros", _PLAIN[:4] + bytes(len(_PLAIN) - _FOOTER - 4) + _PLAIN[-_FOOTER:], "Row group 0"),
    _parquet("data of ones", _PLAIN[:4] + b"\xff" * (len(_PLAIN) - _FOOTER - 4) + _PLAIN[-_FOOTER:], "Row group 0"),
    _parquet("data cut out", _PLAIN[:4] + _PLAIN[-_FOOTER:], "ow"),
    _parquet("a wrong checksum", _replaced(_CHECKED, b"island 5", b"island 6"), "Row group 0", "CRC"),
    _parquet("texts that are not UTF-8", _replaced(_PLAIN, b"island 5", b"island\xff5"), "Row"),
    _parquet(
        "a text that is too long for its page",
        _replaced(_PLAIN, b"\x08\0\0\0island 5", b"\xff\xff\xff\x7fisland 5"),
        "Row group 0",
    ),
    _parquet(
        "a text of a negative length",
        _replaced(_PLAIN, b"\x08\0\0\0island 5", b"\xff\xff\xff\xffisland 5"),
        "Row group 0",
    ),
    *_group_rows(),
    _parquet("a histogram of too many levels", _HISTOGRAM, "Row group 0", "histogram"),
]

CASES: Final = [*_SCHEMAS, *_VALUES, *_ARROW, *_PARQUET]
