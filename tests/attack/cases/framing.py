"""Content-Length and Transfer-Encoding: where a body ends."""

from typing import Final

from tests.attack.case import HALF_CLOSE, AwaitResponses, Case, Proxied, Then
from tests.attack.cases.build import (
    CHUNKED,
    GARBAGE,
    HOST,
    JSON,
    MALFORMED,
    OK,
    ROW,
    accepts,
    chunk,
    get,
    head,
    post,
    refuses,
    responses,
    stream,
    want,
)

_LENGTH: Final = "RFC 9110, 8.6"
_BODY: Final = "RFC 9112, 6.3"
_TRANSFER: Final = "RFC 9112, 6.1"
_LAST: Final = chunk() + b"0\r\n\r\n"


def _length(value: bytes, body: bytes = ROW) -> bytes:
    return head(b"POST /predict HTTP/1.1", HOST, JSON, b"Content-Length:" + value) + body


def _coding(*values: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    fields = [b"Transfer-Encoding:" + value for value in values]
    return head(b"POST /predict " + version, HOST, JSON, *fields) + _LAST


def _both(*fields: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return head(b"POST /predict " + version, HOST, JSON, *fields) + _LAST


_KNOWN: Final = b"Content-Length: %d" % len(ROW)

CASES: Final[tuple[Case, ...]] = (
    accepts("a body of a known length", post(), _LENGTH),
    accepts("a head and a body in two packets", (post()[: -len(ROW)], ROW), _LENGTH),
    accepts("every byte of a body is a packet", (post()[: -len(ROW)], *(bytes([byte]) for byte in ROW)), _LENGTH),
    accepts("spaces around a length", _length(b" \t28 \t"), "RFC 9110, 5.6.3", proxied=Proxied.SKIP),
    accepts("a length with leading zeros", _length(b" 0000028"), _LENGTH),
    accepts("a length of 4,301 zeros", _length(b"0" * 4301, b""), _LENGTH, 400, then=Then.ANY),
    accepts("4,301 zeros before a length", _length(b"0" * 4301 + b"28"), _LENGTH, 200, 400, then=Then.ANY),
    accepts("4,301 zeros before a length of GET", get(b"/livez", b"Content-Length: " + b"0" * 4301), _LENGTH, 200, 400,
            then=Then.ANY),
    accepts("7,000 zeros before a length", _length(b"0" * 7000 + b"28"), _LENGTH, 200, 400, then=Then.ANY),
    accepts("GET with a body", get(b"/livez", _KNOWN) + ROW, "RFC 9110, 9.3.1"),
    accepts("GET with a chunked body", stream(_LAST, path=b"/livez", method=b"GET"), "RFC 9110, 9.3.1"),
    accepts("GET with a length of zero", get(b"/livez", b"Content-Length: 0"), _LENGTH),
    accepts("DELETE with a body", get(b"/results/x", _KNOWN, method=b"DELETE") + ROW, "RFC 9110, 9.3.5", 404),
    refuses("an empty length", _length(b""), _LENGTH),
    refuses("a length of spaces", _length(b"  "), _LENGTH),
    refuses("a length with a plus sign", _length(b" +28"), _LENGTH),
    refuses("a negative length", _length(b" -28"), _LENGTH),
    refuses("a length of minus zero", _length(b" -0"), _LENGTH),
    refuses("a hexadecimal length", _length(b" 0x1c"), _LENGTH),
    refuses("a length with letters", _length(b" 28a"), _LENGTH),
    refuses("a length with a space inside", _length(b" 2 8"), _LENGTH),
    refuses("a length with a fraction", _length(b" 28.0"), _LENGTH),
    refuses("a length with an exponent", _length(b" 28e0"), _LENGTH),
    refuses("a length with an underscore", _length(b" 2_8"), _LENGTH),
    refuses("a length in quotes", _length(b' "28"'), _LENGTH),
    refuses("a length with a parameter", _length(b" 28;a=b"), _LENGTH),
    refuses("a length in digits beyond ASCII", _length(" ２８".encode()), _LENGTH),
    refuses("a length with a vertical tab", _length(b" \x0b28"), _LENGTH),
    refuses("a length with a no-break space", _length(b" \xa028"), _LENGTH),
    refuses("a list of equal lengths", _length(b" 28, 28"), _LENGTH, proxied=Proxied.REPAIRED),
    refuses("a list of different lengths", _length(b" 28, 29"), _LENGTH),
    refuses("a length and an empty element", _length(b" 28,"), _LENGTH),
    refuses("two equal Content-Lengths", _both(_KNOWN, _KNOWN), _BODY, proxied=Proxied.REPAIRED),
    refuses("two different Content-Lengths", _both(_KNOWN, b"Content-Length: 0"), _BODY),
    refuses("two Content-Lengths of GET", get(b"/livez", b"Content-Length: 0", b"Content-Length: 0"), _BODY,
            proxied=Proxied.REPAIRED),
    refuses("a length of 2^63", _length(b" 9223372036854775808", b""), _LENGTH, 400, 413),
    refuses("a length of 2^64", _length(b" 18446744073709551616", b""), _LENGTH, 400, 413),
    refuses("a length of 2^64 and a body's length", _length(b" 18446744073709551644"), _LENGTH, 400, 413),
    refuses("a length of 2^32 and a body's length", _length(b" 4294967324"), _LENGTH, 413, code="body-too-large"),
    refuses("a length of 100 digits", _length(b" " + b"9" * 100, b""), _LENGTH, 400, 413),
    refuses("a length of 5,000 digits", _length(b" " + b"9" * 5000, b""), _LENGTH, 400, 413),
    responses("a length shorter than the body", _length(b" 28", ROW + GARBAGE), (OK, MALFORMED), _BODY,
            then=Then.CLOSED),
    refuses("a length longer than the body", (_length(b" 29"), HALF_CLOSE), _BODY, proxied=Proxied.SKIP),
    refuses("a length and no body", (_length(b" 28", b""), HALF_CLOSE), _BODY, proxied=Proxied.SKIP),
    responses("a body without a length", head(b"POST /predict HTTP/1.1", HOST, JSON) + ROW + b"\r\n\r\n",
            (want(400, code="malformed-json"), MALFORMED), _BODY, then=Then.CLOSED),
    accepts("no body and no length", head(b"POST /predict HTTP/1.1", HOST, JSON), _BODY, 400, 411,
            code="malformed-json"),
    # Transfer-Encoding
    accepts("a chunked body", _coding(b" chunked"), _TRANSFER),
    accepts("the name of the coding in any case", _coding(b" cHuNkEd"), "RFC 9112, 7"),
    accepts("spaces around the coding", _coding(b"  chunked  "), "RFC 9110, 5.6.3"),
    accepts("a tab before the coding", _coding(b"\tchunked"), "RFC 9110, 5.6.3", proxied=Proxied.SKIP),
    accepts("a tab after the coding", _coding(b" chunked\t"), "RFC 9110, 5.6.3", 200, 400, then=Then.ANY,
            proxied=Proxied.SKIP),
    accepts("an empty element before the coding", _coding(b" , chunked"), "RFC 9110, 5.6.1.2", 200, 400, 501,
            then=Then.ANY),
    refuses("gzip, chunked", _coding(b" gzip, chunked"), _TRANSFER, 501, code="not-implemented"),
    refuses("gzip and chunked in two headers", _coding(b" gzip", b" chunked"), _TRANSFER, 501,
            code="not-implemented"),
    refuses("an unknown coding before chunked", _coding(b" foo, chunked"), _TRANSFER, 501, code="not-implemented",
            proxied=Proxied.REPAIRED),
    refuses("gzip alone", _coding(b" gzip"), _BODY),
    refuses("identity", _coding(b" identity"), _BODY, 400, 501),
    refuses("chunked, gzip", _coding(b" chunked, gzip"), _BODY),
    refuses("chunked, identity", _coding(b" chunked, identity"), _BODY),
    refuses("chunked twice", _coding(b" chunked, chunked"), _TRANSFER),
    refuses("chunked in two headers", _coding(b" chunked", b" chunked"), _TRANSFER, proxied=Proxied.REPAIRED),
    refuses("chunked and identity in two headers", _coding(b" chunked", b" identity"), _BODY),
    refuses("identity and chunked in two headers", _coding(b" identity", b" chunked"), _BODY, 400, 501),
    refuses("an empty Transfer-Encoding", _coding(b""), _BODY),
    refuses("a coding with a letter more", _coding(b" xchunked"), _BODY, 400, 501),
    refuses("a coding with a letter at its end", _coding(b" chunkedx"), _BODY, 400, 501),
    refuses("a coding in quotes", _coding(b' "chunked"'), _BODY, 400, 501),
    refuses("chunked with a parameter", _coding(b" chunked;q=1"), "RFC 9112, 7.1", 400, 501),
    refuses("a coding with a vertical tab", _coding(b" \x0bchunked"), _BODY, 400, 501),
    refuses("a coding with NUL", _coding(b" chunked\x00"), _BODY),
    refuses("chunked with a semicolon", _coding(b" chunked;"), _BODY, 400, 501),
    refuses("words with a space between them", _coding(b" x chunked"), _BODY, 400, 501),
    refuses("Transfer-Encoding and HTTP/1.0", _coding(b" chunked", version=b"HTTP/1.0"), _TRANSFER),
    refuses("an unknown coding and HTTP/1.0", _coding(b" gzip", version=b"HTTP/1.0"), _TRANSFER),
    refuses("a length and chunked", _both(_KNOWN, CHUNKED), _BODY, proxied=Proxied.REPAIRED),
    refuses("chunked and a length", _both(CHUNKED, _KNOWN), _BODY, proxied=Proxied.REPAIRED),
    refuses("a length of zero and chunked", _both(b"Content-Length: 0", CHUNKED), _BODY, proxied=Proxied.REPAIRED),
    refuses("a length, chunked and HTTP/1.0", _both(_KNOWN, CHUNKED, version=b"HTTP/1.0"), _BODY),
    refuses("a bad length and chunked", _both(b"Content-Length: x", CHUNKED), _BODY),
    refuses("a length and an unknown coding", _both(_KNOWN, b"Transfer-Encoding: foo"), _BODY, 400, 501),
    accepts("TE: trailers", get(b"/livez", b"TE: trailers", b"Connection: TE"), "RFC 9110, 10.1.4"),
    # The end of a connection
    accepts("a half-close after a body", (post(), HALF_CLOSE), "RFC 9112, 9.6", then=Then.CLOSED,
            proxied=Proxied.SKIP),
    accepts("a half-close after a head", (get(), HALF_CLOSE), "RFC 9112, 9.6", then=Then.CLOSED, proxied=Proxied.SKIP),
    accepts("a half-close after a chunked body", (_coding(b" chunked"), HALF_CLOSE), "RFC 9112, 9.6",
            then=Then.CLOSED, proxied=Proxied.SKIP),
    refuses("a half-close in a head", (b"GET /livez HTTP/1.1\r\nHost: se", HALF_CLOSE), "RFC 9112, 8", 400, 408,
            may_be_silent=True, proxied=Proxied.SKIP),
    responses("a half-close at once", (HALF_CLOSE,), (), "RFC 9112, 9.6", then=Then.CLOSED, proxied=Proxied.SKIP),
    refuses("a half-close in a chunk", (stream(chunk()[:-8]), HALF_CLOSE), "RFC 9112, 8", proxied=Proxied.SKIP),
    refuses("a half-close before the last chunk", (stream(chunk()), HALF_CLOSE), "RFC 9112, 8", proxied=Proxied.SKIP),
    refuses("a half-close in the last chunk", (stream(chunk() + b"0\r\n"), HALF_CLOSE), "RFC 9112, 8",
            proxied=Proxied.SKIP),
    responses("a half-close between requests", (get(), AwaitResponses(), HALF_CLOSE), (OK,), "RFC 9112, 9.6",
            then=Then.CLOSED, proxied=Proxied.SKIP),
)  # fmt: skip
