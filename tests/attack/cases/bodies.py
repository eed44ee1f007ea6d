"""Bodies: JSON of every kind, media types and content codings."""

import gzip
from typing import Final

from tests.attack.case import Case, Step
from tests.attack.cases.build import ROW, accepts, chunk, large, post, stream
from tests.attack.response import Response

_JSON: Final = "RFC 8259, 2"
_TEXT: Final = "RFC 8259, 8.1"
_NAMES: Final = "RFC 8259, 4"
_ROWS: Final = "docs/http.md: Submitting"
_TYPE: Final = "RFC 9110, 15.5.16"
_CODING: Final = "RFC 9110, 8.4"
_DEEP: Final = 100_000
_MANY: Final = 1_000_000
_GZIPPED: Final = gzip.compress(ROW, mtime=0)
_BOMB: Final = gzip.compress(bytes(1_000_000), mtime=0) * 50  # a file of several members

_MALFORMED: Final[dict[str, bytes]] = {
    "nothing": b"",
    "spaces": b" \r\n\t ",
    "NUL": b"\x00",
    "a word": b"x",
    "an open array": b'{"data":[[1,2,3,4]',
    "an open text": b'{"data":["a',
    "a text after the end": ROW + b"x",
    "two documents": ROW + ROW,
    "NUL after the end": ROW + b"\x00",
    "a comma at the end": b'{"data":[[1,2,3,4],]}',
    "a comma at the end of an object": b'{"data":[[1,2,3,4]],}',
    "a comment": b'{"data":[[1,2,3,4]]/*x*/}',
    "single quotes": b"{'data':[[1,2,3,4]]}",
    "a name without quotes": b"{data:[[1,2,3,4]]}",
    "NaN": b'{"data":[[NaN,2,3,4]]}',
    "Infinity": b'{"data":[[Infinity,2,3,4]]}',
    "minus Infinity": b'{"data":[[-Infinity,2,3,4]]}',
    "a number with a leading zero": b'{"data":[[01,2,3,4]]}',
    "a number with a plus sign": b'{"data":[[+1,2,3,4]]}',
    "a number that begins with a point": b'{"data":[[.5,2,3,4]]}',
    "a number that ends with a point": b'{"data":[[1.,2,3,4]]}',
    "a hexadecimal number": b'{"data":[[0x1,2,3,4]]}',
    "a number with an underscore": b'{"data":[[1_0,2,3,4]]}',
    "a number with two signs": b'{"data":[[--1,2,3,4]]}',
    "an open exponent": b'{"data":[[1e,2,3,4]]}',
    "True": b'{"data":[[True,2,3,4]]}',
    "a wrong escape": b'{"data":["\\x41"]}',
    "a cut escape": b'{"data":["\\u12"]}',
    "a control character in a text": b'{"data":["a\x01"]}',
    "a line break in a text": b'{"data":["a\nb"]}',
    "a lone surrogate": b'{"data":["\\ud800"]}',
    "a lone low surrogate": b'{"data":["\\udc00x"]}',
    "surrogates in the wrong order": b'{"data":["\\udc00\\ud800"]}',
    "a lone surrogate in a name": b'{"data":[[1,2,3,4]],"\\ud800":1}',
    "an encoded surrogate": b'{"data":["\xed\xa0\x80"]}',
    "bytes that are not UTF-8": b'{"data":["\xff"]}',
    "an overlong encoding": b'{"data":["\xc0\xaf"]}',
    "a cut character": b'{"data":["\xe2\x82"]}',
    "a character beyond Unicode": b'{"data":["\xf4\x90\x80\x80"]}',
    "UTF-16": ROW.decode().encode("utf-16"),
    "UTF-32": ROW.decode().encode("utf-32"),
    "gzip": _GZIPPED,
    "YAML": b"data: [[1,2,3,4]]",
    "XML with an entity": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
}

_UNFIT: Final[dict[str, bytes | tuple[Step, ...]]] = {
    "null": b"null",
    "a number": b"1",
    "a text": b'"data"',
    "an array": b"[]",
    "an empty object": b"{}",
    "no rows": b'{"data":[]}',
    "data of another kind": b'{"data":{"data":[[1,2,3,4]]}}',
    "an empty row": b'{"data":[[]]}',
    "a row of nulls": b'{"data":[[null,null,null,null]]}',
    "a row of texts": b'{"data":[["1","2","3","4"]]}',
    "a row of NaN as a text": b'{"data":[["NaN",2,3,4]]}',
    "a row of booleans": b'{"data":[[true,false,true,false]]}',
    "a row too long": b'{"data":[[1,2,3,4,5]]}',
    "a number beyond float64": b'{"data":[[1e400,2,3,4]]}',
    "a number of 5,000 digits": b'{"data":[[' + b"1" * 5000 + b",2,3,4]]}",
    "a million numbers in a row": large(b'{"data":[[', b"1,", _MANY, b"1]]}"),
    "a million numbers": large(b'{"data":[', b"1,", _MANY, b"1]}"),
    "a million rows": large(b'{"data":[', b"[],", _MANY, b"[]]}"),
    "a million objects": large(b'{"data":[', b"{},", _MANY, b"{}]}"),
    "200,000 rows of numbers": large(b'{"data":[', b"[1,2,3,4],", 200_000, b"[1,2,3,4]]}"),
    "a million texts": large(b'{"data":[', b'"",', _MANY, b'""]}'),
    "a text of 4 MB": large(b'{"data":["', b"a", 4_000_000, b'"]}'),
    "an unknown member": b'{"data":[[1,2,3,4]],"x":1}',
    "100,000 unknown members": b'{"data":[[1,2,3,4]],' + b",".join(map(b'"%d":0'.__mod__, range(100_000))) + b"}",
    "a name of 1 MB": b'{"data":[[1,2,3,4]],"' + b"a" * 1_000_000 + b'":1}',
    "the prototype": b'{"data":[[1,2,3,4]],"__proto__":{}}',
    "outputs of another kind": b'{"data":[[1,2,3,4]],"outputs":"prediction"}',
    "no outputs": b'{"data":[[1,2,3,4]],"outputs":[]}',
    "unknown outputs": b'{"data":[[1,2,3,4]],"outputs":["__class__"]}',
    "repeated outputs": b'{"data":[[1,2,3,4]],"outputs":["prediction","prediction"]}',
    "100,000 outputs": b'{"data":[[1,2,3,4]],"outputs":[' + b'"x",' * 99_999 + b'"x"]}',
}

_REPEATED: Final[dict[str, tuple[bytes, str]]] = {
    "data": (b'{"data":[[1,2,3,4]],"data":[[1,2,3,4]]}', "/data"),
    "data, once escaped": (b'{"data":[[1,2,3,4]],"d\\u0061ta":[[5,6,7,8]]}', "/data"),
    "data, twice escaped": (b'{"\\u0064ata":[[1,2,3,4]],"dat\\u0061":[[5,6,7,8]]}', "/data"),
    "data, with another between": (b'{"data":[[1,2,3,4]],"outputs":["prediction"],"data":null}', "/data"),
    "outputs": (b'{"data":[[1,2,3,4]],"outputs":["prediction"],"outputs":["proba"]}', "/outputs"),
    "a column": (b'{"data":[{"a":1,"a":2}]}', "/data/0"),
    "a column, once escaped": (b'{"data":[{"a":1,"\\u0061":2}]}', "/data/0"),
}

_DEPTHS: Final[dict[str, bytes]] = {
    "open arrays": b"[" * _DEEP,
    "arrays": b"[" * _DEEP + b"]" * _DEEP,
    "arrays in data": b'{"data":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    "arrays in a row": b'{"data":[[1,2,3,' + b"[" * _DEEP + b"]" * _DEEP + b"]]}",
    "objects": b'{"data":' * _DEEP + b"1" + b"}" * _DEEP,
    "open objects": b'{"a":' * _DEEP,
    "arrays of objects": b'[{"a":' * _DEEP + b"1" + b"}]" * _DEEP,
    "arrays in an unknown member": b'{"data":[[1,2,3,4]],"x":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
}

_TYPES: Final = (
    b"text/plain", b"text/csv", b"application/jsonx", b"application/xjson", b"json", b"application/", b"/json", b"*/*",
    b"multipart/form-data; boundary=x", b"application/json, text/plain", b"application/x-ndjson", b"text/json2",
    b"\xff", b"application/ json", b";", b"",
)  # fmt: skip
_CODINGS: Final = (b"gzip", b"br", b"GZIP", b"x-gzip", b"deflate", b"zstd", b"foo", b"gzip, gzip", b"identity, gzip")


def _points_to(pointer: str) -> dict[str, object]:
    def check(response: Response) -> str:
        pointers = [error["pointer"] for error in response.json().get("errors", [])]
        found = any(each == pointer or each.startswith(pointer + "/") for each in pointers)
        return "" if found else f"the pointers are {pointers}: expected {pointer}"

    return {"check": check}


CASES: Final[tuple[Case, ...]] = (
    *(
        accepts(f"a body of {name}", post(body), _JSON, 400, code="malformed-json")
        for name, body in _MALFORMED.items()
    ),
    *(
        accepts(f"a body with {name}", post(body) if isinstance(body, bytes) else body, _ROWS, 413, 422)
        for name, body in _UNFIT.items()
    ),
    *(
        accepts(f"a body that repeats {name}", post(body), _NAMES, 422, code="invalid-rows", **_points_to(pointer))
        for name, (body, pointer) in _REPEATED.items()
    ),
    *(
        accepts(f"100,000 levels of {name}", post(body), "RFC 8259, 9", 400, 413, 422)
        for name, body in _DEPTHS.items()
    ),
    accepts("100,000 levels in chunks", stream(chunk(_DEPTHS["arrays"]) + b"0\r\n\r\n"), "RFC 8259, 9", 400, 413, 422),
    accepts("a body with a byte order mark", post(b"\xef\xbb\xbf" + ROW), _TEXT, 200, 400),
    accepts("a body with spaces", post(b' \r\n\t{ "data" : [ [ 1 , 2 , 3 , 4 ] ] } \n'), _JSON),
    accepts("a body with escapes in a name", post(b'{"\\u0064\\u0061ta":[[1,2,3,4]]}'), _NAMES),
    accepts("numbers of every form", post(b'{"data":[[-0,1E2,1e-400,0.10e+1]]}'), "RFC 8259, 6"),
    accepts("a number of 1,000 digits after the point", post(b'{"data":[[1.' + b"1" * 1000 + b",2,3,4]]}"),
            "RFC 8259, 6"),
    accepts("10,000 rows", post(b'{"data":[' + b"[1,2,3,4]," * 9_999 + b"[1,2,3,4]]}"), "SEPAL_MAX_ROWS"),
    accepts("10,001 rows", post(b'{"data":[' + b"[1,2,3,4]," * 10_000 + b"[1,2,3,4]]}"), "SEPAL_MAX_ROWS", 422),
    *(
        accepts(f"the media type {media!r}", post(media=b"Content-Type: " + media), _TYPE, 415,
                code="unsupported-content-type")
        for media in _TYPES
    ),
    accepts("no media type", post(media=b""), _TYPE, 415, code="unsupported-content-type"),
    accepts("a media type with a charset", post(media=b"Content-Type: application/json; charset=utf-8"), _TYPE),
    accepts("a media type with a suffix", post(media=b"Content-Type: application/rows+json"), _TYPE),
    accepts("a media type with a long parameter", post(media=b"Content-Type: application/json; a=" + b"b" * 7000),
            _TYPE),
    *(
        accepts(f"the content coding {coding.decode()} over plain JSON", post(ROW, b"Content-Encoding: " + coding),
                _CODING, 415)
        for coding in _CODINGS
    ),
    accepts("the content coding gzip", post(_GZIPPED, b"Content-Encoding: gzip"), _CODING, 415),
    accepts("50 MB in 50 kB of gzip", post(_BOMB, b"Content-Encoding: gzip"), _CODING, 415),
    accepts("two content codings", post(ROW, b"Content-Encoding: identity", b"Content-Encoding: gzip"), _CODING, 415),
    accepts("the content coding identity", post(ROW, b"Content-Encoding: identity"), "RFC 9110, 12.5.3", 200, 415),
    accepts("an unknown coding of a chunked body",
            stream(chunk() + b"0\r\n\r\n", b"Content-Encoding: br"), _CODING, 415),
)  # fmt: skip
