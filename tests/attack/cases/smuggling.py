"""Requests that a proxy and the gateway could delimit differently: the gateway never responds to a hidden request."""

from typing import Final

from tests.attack.case import Case, Proxied, Then
from tests.attack.cases.build import (
    CHUNKED,
    HOST,
    JSON,
    LIVE,
    ROW,
    SMUGGLED,
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

_BODY: Final = "RFC 9112, 6.3"
_SMUGGLING: Final = "RFC 9112, 11.2"
_END: Final = b"0\r\n\r\n"
_LONG: Final = b"Content-Length: %d" % (len(_END) + len(SMUGGLED))
_KNOWN: Final = b"Content-Length: %d" % len(ROW)


def _disguised(name: str, *fields: bytes) -> Case:
    """Describe a request whose body is empty by one header, and contains a hidden request by another."""
    sends = head(b"POST /predict HTTP/1.1", HOST, JSON, *fields) + _END + SMUGGLED
    return refuses(f"smuggling: {name}", sends, _SMUGGLING, 400, 501, proxied=Proxied.REPAIRED)


def _ignored(name: str, path: bytes, method: bytes, *statuses: int, head_only: bool = False) -> Case:
    """Describe a body that the gateway does not use, and that contains a hidden request."""
    sends = get(path, b"Content-Length: %d" % len(SMUGGLED), method=method) + SMUGGLED
    return accepts(f"smuggling: {name}", sends, _BODY, *statuses, head=head_only, then=Then.OPEN)


CASES: Final[tuple[Case, ...]] = (
    _disguised("a length and chunked", _LONG, CHUNKED),
    _disguised("chunked and a length", CHUNKED, _LONG),
    _disguised("a space before the colon", _LONG, b"Transfer-Encoding : chunked"),
    _disguised("a tab before the colon", _LONG, b"Transfer-Encoding\t: chunked"),
    _disguised("a tab before the value", _LONG, b"Transfer-Encoding:\tchunked"),
    _disguised("a vertical tab before the value", _LONG, b"Transfer-Encoding: \x0bchunked"),
    _disguised("a form feed before the value", _LONG, b"Transfer-Encoding: \x0cchunked"),
    _disguised("a space before the name", _LONG, b" Transfer-Encoding: chunked"),
    _disguised("a fold before the value", _LONG, b"Transfer-Encoding:", b" chunked"),
    _disguised("a fold in another header", _LONG, b"X: y", b" Transfer-Encoding: chunked"),
    _disguised("LF in another header", _LONG, b"X: y\nTransfer-Encoding: chunked"),
    _disguised("CR in another header", _LONG, b"X: y\rTransfer-Encoding: chunked"),
    _disguised("NUL in the name", _LONG, b"Transfer\x00-Encoding: chunked"),
    _disguised("NUL after the value", _LONG, b"Transfer-Encoding: chunked\x00"),
    _disguised("a letter before the value", _LONG, b"Transfer-Encoding: xchunked"),
    _disguised("a word before the value", _LONG, b"Transfer-Encoding: x chunked"),
    _disguised("a list with identity", _LONG, b"Transfer-Encoding: chunked, identity"),
    _disguised("two codings", _LONG, CHUNKED, b"Transfer-Encoding: x"),
    _disguised("two codings in another order", _LONG, b"Transfer-Encoding: x", CHUNKED),
    _disguised("a name in upper case", _LONG, b"TRANSFER-ENCODING: CHUNKED"),
    _disguised("a coding in quotes", _LONG, b'Transfer-Encoding: "chunked"'),
    _disguised("CR before the value", _LONG, b"Transfer-Encoding: \rchunked"),
    _disguised("a byte beyond ASCII in the coding", _LONG, b"Transfer-Encoding: chun\xedked"),
    _disguised("two lengths", b"Content-Length: 5", _LONG),
    _disguised("two lengths in another order", _LONG, b"Content-Length: 5"),
    _disguised("two lengths in different case", b"Content-Length: 5", b"CONTENT-LENGTH: 9"),
    _disguised("a folded length", b"Content-Length: 5", b" 0"),
    _disguised("a list of lengths", b"Content-Length: 5, 50"),
    _disguised("a length with a space before the colon", _LONG, b"Content-Length : 5"),
    _disguised("a signed length beside another", b"Content-Length: +5", _LONG),
    _disguised("an empty line of CR CR LF", b"Content-Length: 5\r\n\r", b"X: y"),
    refuses("smuggling: HTTP/1.0 and chunked", head(b"POST /predict HTTP/1.0", HOST, JSON, CHUNKED) + _END + SMUGGLED,
            "RFC 9112, 6.1", proxied=Proxied.REPAIRED),
    refuses("smuggling: LF ends a chunk's extension", stream(b"1c;x\n" + ROW + b"\r\n" + _END + SMUGGLED),
            "RFC 9112, 7.1.1", proxied=Proxied.SKIP),
    refuses("smuggling: CR ends a chunk's extension", stream(b"1c;x\r" + ROW + b"\r\n" + _END + SMUGGLED),
            "RFC 9112, 7.1.1", proxied=Proxied.REPAIRED),
    refuses("smuggling: a chunk's size wraps around", stream(b"100000000000000005\r\n0\r\n\r\n" + SMUGGLED),
            "RFC 9112, 7.1", 400, 413),
    refuses("smuggling: two bytes after a chunk are not CRLF", stream(b"1c\r\n" + ROW + b"XX" + _END + SMUGGLED),
            "RFC 9112, 7.1"),
    refuses("smuggling: a header's end in a chunk's size", stream(b"1c\r\n\r\n" + ROW + b"\r\n" + _END + SMUGGLED),
            "RFC 9112, 7.1"),
    _ignored("a body of GET", b"/livez", b"GET"),
    _ignored("a body of GET for a page", b"/model", b"GET"),
    _ignored("a body of HEAD", b"/livez", b"HEAD", head_only=True),
    _ignored("a body of OPTIONS", b"/predict", b"OPTIONS", 200, 204),
    _ignored("a body of DELETE", b"/results/x", b"DELETE", 404),
    _ignored("a body for an unknown path", b"/nowhere", b"POST", 404),
    _ignored("a body with a wrong method", b"/livez", b"POST", 405),
    _ignored("a body of PUT", b"/predict", b"PUT", 405),
    _ignored("a body without the operators' token", b"/dead-letters/x/replay", b"POST", 403),
    accepts("smuggling: a body of another media type", post(SMUGGLED, media=b"Content-Type: message/http"), _BODY,
            415),
    accepts("smuggling: a body that is not JSON", post(SMUGGLED), _BODY, 400, code="malformed-json"),
    accepts("smuggling: a body in an unknown coding", post(SMUGGLED, b"Content-Encoding: gzip"), _BODY, 415),
    accepts("smuggling: a chunked body for an unknown path",
            stream(chunk(SMUGGLED) + _END, path=b"/nowhere"), _BODY, 404),
    accepts("smuggling: a chunked body of GET", stream(chunk(SMUGGLED) + _END, path=b"/livez", method=b"GET"), _BODY),
    responses("smuggling: a request in an unread body, and one after it",
            get(b"/nowhere", b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED + get(),
            (want(404), want(200, body=LIVE)), _BODY),
    accepts("smuggling: a request in a header's value", get(b"/livez", b"X: GET /metrics HTTP/1.1"), "RFC 9110, 5.5",
            body=LIVE),
    accepts("smuggling: an encoded request in the target", get(b"/livez?%20HTTP/1.1%0d%0aHost:x"), "RFC 3986, 3.4",
            body=LIVE),
    accepts("smuggling: a length with an underscore",
            get(b"/livez", b"Content_Length: 99", b"Transfer_Encoding: chunked"), "RFC 9110, 5.1", body=LIVE),
    responses("smuggling: a length on a line that Connection names",
            get(b"/livez", b"Connection: Content-Length", _KNOWN) + ROW, (want(200, body=LIVE),), "RFC 9110, 7.6.1",
            proxied=Proxied.REPAIRED),
)  # fmt: skip
