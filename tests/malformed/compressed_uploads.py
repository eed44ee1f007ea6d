"""Malformed content codings: truncated, of another coding, and compression bombs."""

import gzip
import zlib
from collections.abc import Callable
from typing import Final

import pyarrow as pa

from tests.malformed.binary_uploads import parquet_of, penguins
from tests.malformed.case import ARROW, CSV, INVALID, JSON, MALFORMED, NDJSON, PARQUET, TOO_LARGE, Case
from tests.malformed.csv_uploads import IRIS

_ROWS: Final = IRIS + b"".join(b"5.%d,3.5,1.4,0.2\n" % (index % 10) for index in range(2000))
_CODEC: Final = pa.Codec("zstd")


def zstd(content: bytes) -> bytes:
    """Compress as a frame of zstd."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as compressed:
        compressed.write(content)
    return bytes(sink.getvalue())


def _gzip(
    name: str, content: bytes | Callable[[], bytes], *words: str, code: str = MALFORMED, media_type: str = CSV
) -> Case:
    return Case(f"gzip: {name}", "iris", media_type, content, code, words, content_coding="gzip")


def _zstd(
    name: str, content: bytes | Callable[[], bytes], *words: str, code: str = MALFORMED, media_type: str = CSV
) -> Case:
    return Case(f"zstd: {name}", "iris", media_type, content, code, words, content_coding="zstd")


def _bomb(n_bytes: int, piece: bytes = b"\n") -> bytes:
    """Return members of 64 MiB each: the first one exceeds every limit."""
    member = gzip.compress(piece * (2**26 // len(piece)))
    return member * (n_bytes // 2**26)


_GZIP: Final = gzip.compress(_ROWS)
_ZSTD: Final = zstd(_ROWS)

CASES: Final = [
    _gzip("not compressed", _ROWS, "not gzip", "byte"),
    _gzip("zstd", _ZSTD, "not gzip"),
    _gzip("zlib", zlib.compress(_ROWS), "not gzip"),
    _gzip("empty", b"", "no header", code=INVALID),
    _gzip("cut off in its header", _GZIP[:5], "ends within", "5 bytes"),
    _gzip("cut off in the middle", _GZIP[: len(_GZIP) // 2], "ends within"),
    _gzip("cut off in its checksum", _GZIP[:-2], "ends within"),
    _gzip("a wrong checksum", _GZIP[:-8] + b"\0\0\0\0" + _GZIP[-4:], "not gzip", "incorrect data check"),
    _gzip("a wrong length", _GZIP[:-4] + b"\0\0\0\0", "not gzip", "incorrect length check"),
    _gzip("a flipped bit", _GZIP[:100] + bytes([_GZIP[100] ^ 64]) + _GZIP[101:], "not gzip"),
    _gzip("text after it", _GZIP + b"hello", "not gzip"),
    _gzip("a second member cut off", _GZIP + _GZIP[:-9], "ends within"),
    _gzip("a reserved method", _GZIP[:2] + b"\x09" + _GZIP[3:], "not gzip"),
    _gzip("a fault within", gzip.compress(IRIS + b"1,2,3,x\n"), "Line 2", "petal width", code=INVALID),
    _gzip("a fault in the second member", gzip.compress(IRIS) + gzip.compress(b"1,2,3,x\n"), "Line 2", code=INVALID),
    _gzip("a bomb of blank lines", lambda: gzip.compress(IRIS) + _bomb(2**28), "more than 200 times", code=TOO_LARGE),
    _gzip(
        "a bomb of rows",
        lambda: gzip.compress(IRIS) + _bomb(2**28, b"1,2,3,4\n"),
        "more than 200 times",
        code=TOO_LARGE,
    ),
    _gzip("a bomb in JSON", lambda: _bomb(2**29, b" "), "", code=TOO_LARGE, media_type=JSON),
    _gzip("a bomb in NDJSON", lambda: _bomb(2**29), "more than 200 times", code=TOO_LARGE, media_type=NDJSON),
    _gzip("a bomb in Arrow", lambda: _bomb(2**29, b"\0"), "more than 200 times", code=TOO_LARGE, media_type=ARROW),
    _gzip("a bomb in Parquet", lambda: _bomb(2**29, b"\0"), "more than 200 times", code=TOO_LARGE, media_type=PARQUET),
    _gzip("a bomb in a bomb", lambda: gzip.compress(_bomb(2**29)), "Line 1", code=MALFORMED),
    _gzip("Parquet cut off", gzip.compress(parquet_of(penguins())[:-9]), "The footer", media_type=PARQUET),
    _zstd("not compressed", _ROWS, "not zstd", "byte"),
    _zstd("gzip", _GZIP, "not zstd"),
    _zstd("empty", b"", "no header", code=INVALID),
    _zstd("cut off in its header", _ZSTD[:5], "not zstd", "runcated"),
    _zstd("cut off in the middle", _ZSTD[: len(_ZSTD) // 2], "not zstd", "runcated"),
    _zstd("cut off in its last byte", _ZSTD[:-1], "not zstd", "runcated"),
    _zstd("text after it", _ZSTD + b"hello", "not zstd"),
    _zstd("a second frame cut off", _ZSTD + _ZSTD[:-1], "not zstd", "runcated"),
    _zstd("a flipped bit", _ZSTD[:40] + bytes([_ZSTD[40] ^ 64]) + _ZSTD[41:], ""),
    _zstd("a window of 256 MB", b"\x28\xb5\x2f\xfd\x00\x90\x01\0\0", "too much memory"),
    _zstd("a window of 2 TB", b"\x28\xb5\x2f\xfd\x00\xf8\x01\0\0", "too much memory"),
    _zstd("a dictionary that is missing", b"\x28\xb5\x2f\xfd\x01\x58\x07\x01\0\0", "not zstd"),
    _zstd("a fault within", zstd(IRIS + b"1,2,3,x\n"), "Line 2", "petal width", code=INVALID),
    _zstd("a bomb of blank lines", lambda: zstd(IRIS + b"\n" * 2**28), "more than 200 times", code=TOO_LARGE),
    _zstd("a bomb in Parquet", lambda: zstd(bytes(2**28)), "more than 200 times", code=TOO_LARGE, media_type=PARQUET),
    Case("coding: brotli", "iris", CSV, _ROWS, "unsupported-content-coding", ("gzip or zstd",), "", "br"),
    Case("coding: two of them", "iris", CSV, _GZIP, "unsupported-content-coding", ("gzip or zstd",), "", "gzip, gzip"),
    Case("type: text/plain", "iris", "text/plain", _ROWS, "unsupported-content-type", ("text/csv",)),
]
