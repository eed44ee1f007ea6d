"""Expect, Upgrade, and clients of other protocols."""

from typing import Final

from tests.attack.case import AwaitResponses, Case, Proxied, Then
from tests.attack.cases.build import (
    CHUNKED,
    HOST,
    JSON,
    LIVE,
    OK,
    ROW,
    accepts,
    chunk,
    get,
    head,
    post,
    refuses,
    responses,
)

_EXPECT: Final = "RFC 9110, 10.1.1"
_UPGRADE: Final = "RFC 9110, 7.8"
_OTHER: Final = "RFC 9112, 3"
_CONTINUE: Final = b"Expect: 100-continue"
_KNOWN: Final = b"Content-Length: %d" % len(ROW)
_H2C: Final = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
_SOCKET: Final = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
_CLIENT_HELLO: Final = bytes.fromhex(
    "16030100c4010000c00303" + "5a" * 32 + "20" + "5b" * 32 + "0008130213031301c02f0100006f" + "00" * 111
)


def _expecting(*headers: bytes, line: bytes = b"POST /predict HTTP/1.1") -> bytes:
    return head(line, HOST, JSON, *headers)


def _other(name: str, sends: bytes, *statuses: int, rfc: str = _OTHER) -> Case:
    """Describe a client of another protocol, to which silence is a response too."""
    return refuses(name, sends, rfc, *(statuses or (400, 501)), code="", may_be_silent=True, then=Then.ENDED)


CASES: Final[tuple[Case, ...]] = (
    accepts("100-continue, and a body after it", (_expecting(_KNOWN, _CONTINUE), AwaitResponses(), ROW), _EXPECT,
            interim=(100,)),
    accepts("100-continue in any case", (_expecting(_KNOWN, b"Expect: 100-Continue"), AwaitResponses(), ROW), _EXPECT,
            interim=(100,)),
    accepts("100-continue and a chunked body",
            (_expecting(CHUNKED, _CONTINUE), AwaitResponses(), chunk() + b"0\r\n\r\n"), _EXPECT, interim=(100,)),
    responses("100-continue twice on a connection",
            (_expecting(_KNOWN, _CONTINUE), AwaitResponses(1), ROW, AwaitResponses(2),
             _expecting(_KNOWN, _CONTINUE), AwaitResponses(3), ROW), (OK, OK), _EXPECT, interim=(100, 100)),
    accepts("100-continue with the body at once", _expecting(_KNOWN, _CONTINUE) + ROW, _EXPECT),
    accepts("100-continue with a part of the body", (_expecting(_KNOWN, _CONTINUE) + ROW[:5], ROW[5:]), _EXPECT),
    accepts("100-continue and HTTP/1.0",
            (_expecting(_KNOWN, _CONTINUE, line=b"POST /predict HTTP/1.0"), ROW), _EXPECT, then=Then.CLOSED),
    accepts("100-continue without a body", get(b"/livez", _CONTINUE), _EXPECT, body=LIVE),
    accepts("100-continue and a length of zero", _expecting(b"Content-Length: 0", _CONTINUE), _EXPECT, 400,
            code="malformed-json"),
    refuses("100-continue before a body that is too large", _expecting(b"Content-Length: 9999999", _CONTINUE), _EXPECT,
            413, code="body-too-large"),
    accepts("100-continue before an unwanted media type",
            head(b"POST /predict HTTP/1.1", HOST, b"Content-Type: text/csv", _KNOWN, _CONTINUE), _EXPECT, 415,
            then=Then.ANY, proxied=Proxied.SKIP),
    accepts("100-continue to an unknown path", _expecting(_KNOWN, _CONTINUE, line=b"POST /nowhere HTTP/1.1"), _EXPECT,
            404, then=Then.ANY, proxied=Proxied.SKIP),
    refuses("100-continue without Host", head(b"POST /predict HTTP/1.1", JSON, _KNOWN, _CONTINUE), _EXPECT),
    refuses("100-continue and two lengths", _expecting(_KNOWN, b"Content-Length: 1", _CONTINUE), _EXPECT),
    refuses("another expectation", _expecting(_KNOWN, b"Expect: 200-ok") + ROW, _EXPECT, 417,
            code="expectation-failed", proxied=Proxied.REPAIRED),
    refuses("another expectation without a body", get(b"/livez", b"Expect: x=y"), _EXPECT, 417,
            code="expectation-failed", proxied=Proxied.REPAIRED),
    refuses("100-continue and another expectation", _expecting(_KNOWN, b"Expect: 100-continue, x"), _EXPECT, 417,
            code="expectation-failed", proxied=Proxied.REPAIRED),
    # Upgrade
    accepts("an upgrade to h2c", get(b"/livez", *_H2C), "RFC 9113, 3.1", body=LIVE),
    accepts("a prediction that offers h2c", post(ROW, *_H2C), "RFC 9113, 3.1"),
    responses("another request after an offer of h2c", get(b"/livez", *_H2C) + get(), (OK, OK), _UPGRADE),
    responses("another prediction after an offer of h2c", post(ROW, *_H2C) + post(), (OK, OK), _UPGRADE),
    accepts("an upgrade to WebSocket", get(b"/livez", *_SOCKET), _UPGRADE, body=LIVE),
    accepts("a prediction that offers WebSocket", post(ROW, *_SOCKET), _UPGRADE),
    accepts("an upgrade of a wrong method to WebSocket", get(b"/predict", *_SOCKET), _UPGRADE, 405),
    accepts("an upgrade to TLS", get(b"/livez", b"Connection: Upgrade", b"Upgrade: TLS/1.3"), _UPGRADE),
    accepts("Upgrade without Connection", get(b"/livez", b"Upgrade: h2c"), _UPGRADE),
    accepts("an empty Upgrade", get(b"/livez", b"Connection: Upgrade", b"Upgrade:"), _UPGRADE),
    # Other protocols
    _other("TLS on a plain port", _CLIENT_HELLO),
    _other("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    _other("SMTP", b"EHLO sepal\r\n\r\n"),
    _other("Redis", b"*1\r\n$4\r\nPING\r\n"),
    _other("memcached", b"stats\r\n\r\n"),
    _other("the PROXY protocol", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + get()),
    _other("the second PROXY protocol", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + get()),
    _other("a response instead of a request", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    _other("JSON without HTTP", ROW + b"\r\n\r\n"),
    _other("HTTP/2 frames without a preface", bytes.fromhex("000000040000000000") + b"\r\n\r\n"),
    _other("zeros", bytes(4096)),
    _other("bytes of ones", b"\xff" * 4096),
    _other("all bytes", bytes(range(256)) * 16 + b"\r\n\r\n"),
    _other("line feeds", b"\n" * 100 + b"x\r\n\r\n"),
)  # fmt: skip
