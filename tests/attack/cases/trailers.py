"""Trailers are read, limited and discarded, and never become headers (RFC 9110, 6.5)."""

from typing import Final

from tests.attack.case import HALF_CLOSE, Case, Flood, Proxied, Then
from tests.attack.cases.build import CHUNKED, HOST, accepts, chunk, head, refuses, stream, trailed
from tests.attack.gateways import TOKEN

_RULE: Final = "RFC 9110, 6.5.1"
_LIMIT: Final = "SEPAL_MAX_TRAILER_BYTES"
_SYNTAX: Final = "RFC 9112, 7.1.2"
_ONCE: Final = {"preference-applied": ""}


def _predict(*trailers: bytes) -> bytes:
    return stream(trailed(*trailers))


def _letters(*trailers: bytes) -> bytes:
    return head(b"GET /dead-letters HTTP/1.1", HOST, CHUNKED) + trailed(*trailers)


CASES: Final[tuple[Case, ...]] = (
    accepts("a trailer", _predict(b"X: y"), _RULE),
    accepts("a trailer that was declared", stream(trailed(b"X: y"), b"Trailer: X"), "RFC 9110, 6.6.2"),
    accepts("an empty trailer", _predict(b"X:"), _RULE),
    accepts("Authorization in a trailer", _letters(b"Authorization: Bearer " + TOKEN), _RULE, 403,
            code="operators-only"),
    accepts("Authorization in a declared trailer",
            head(b"GET /dead-letters HTTP/1.1", HOST, CHUNKED, b"Trailer: Authorization")
            + trailed(b"Authorization: Bearer " + TOKEN), _RULE, 403, code="operators-only"),
    accepts("Prefer in a trailer", _predict(b"Prefer: respond-async"), _RULE, headers=_ONCE),
    accepts("Content-Type in a trailer",
            head(b"POST /predict HTTP/1.1", HOST, CHUNKED) + trailed(b"Content-Type: application/json"), _RULE, 415,
            code="unsupported-content-type"),
    accepts("another Content-Type in a trailer", _predict(b"Content-Type: text/plain"), _RULE),
    accepts("Content-Encoding in a trailer", _predict(b"Content-Encoding: gzip"), _RULE),
    accepts("Sepal-Deadline in a trailer", _predict(b"Sepal-Deadline: 0.000001"), _RULE),
    accepts("an invalid Sepal-Deadline in a trailer", _predict(b"Sepal-Deadline: never"), _RULE),
    accepts("an invalid Idempotency-Key in a trailer", _predict(b'Idempotency-Key: "'), _RULE),
    accepts("X-Request-ID in a trailer", _predict(b"X-Request-ID: from-a-trailer"), _RULE,
            headers={"x-request-id": ""}, proxied=Proxied.REPAIRED),
    accepts("Content-Length in a trailer", _predict(b"Content-Length: 99"), _RULE),
    accepts("an invalid Content-Length in a trailer", _predict(b"Content-Length: x"), _RULE, proxied=Proxied.REPAIRED),
    accepts("Transfer-Encoding in a trailer", _predict(b"Transfer-Encoding: chunked"), _RULE),
    accepts("Host in a trailer", _predict(b"Host: other"), _RULE),
    accepts("two Hosts in trailers", _predict(b"Host: a", b"Host: b"), _RULE),
    accepts("Connection in a trailer", _predict(b"Connection: close"), _RULE),
    accepts("Expect in a trailer", _predict(b"Expect: nothing"), _RULE),
    accepts("Upgrade in a trailer", _predict(b"Upgrade: h2c", b"Connection: Upgrade"), _RULE),
    accepts("Trailer in a trailer", _predict(b"Trailer: Trailer"), _RULE),
    accepts("traceparent in a trailer", _predict(b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), _RULE),
    accepts("X-Forwarded-For in a trailer", _predict(b"X-Forwarded-For: 1.2.3.4"), _RULE),
    accepts("a request line in a trailer's value", _predict(b"X: GET /metrics HTTP/1.1"), _RULE),
    accepts("trailers of 6 kB", _predict(*(b"X: " + b"y" * 997 for _ in range(6))), _LIMIT, proxied=Proxied.REPAIRED),
    refuses("trailers of 9 kB", _predict(*(b"X: " + b"y" * 997 for _ in range(9))), _LIMIT, 431,
            code="headers-too-large", proxied=Proxied.REPAIRED),
    refuses("a trailer of 1 MB", (stream(chunk() + b"0\r\nX: "), Flood(b"y" * 10_000, 100)), _LIMIT, 431,
            code="headers-too-large", then=Then.ENDED, proxied=Proxied.REPAIRED),
    refuses("a trailer's name of 1 MB", (stream(chunk() + b"0\r\n"), Flood(b"y" * 10_000, 100)), _LIMIT, 431,
            code="headers-too-large", then=Then.ENDED, proxied=Proxied.REPAIRED),
    refuses("100,000 trailers", (stream(chunk() + b"0\r\n"), Flood(b"X: y\r\n" * 1000, 100)), _LIMIT, 431,
            code="headers-too-large", then=Then.ENDED, proxied=Proxied.REPAIRED),
    refuses("a trailer without a colon", _predict(b"X"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("a space before a trailer's colon", _predict(b"X : y"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("a trailer without a name", _predict(b": y"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("a folded trailer", _predict(b"X: y", b" z"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("a space before a trailer", _predict(b" X: y"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("NUL in a trailer", _predict(b"X: \x00"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("CR in a trailer", _predict(b"X: y\rz"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("a trailer that ends with LF", stream(chunk() + b"0\r\nX: y\n\r\n"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("trailers that end with LF", stream(chunk() + b"0\r\nX: y\r\n\n"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("trailers that do not end", (stream(chunk() + b"0\r\nX: y\r\n"), HALF_CLOSE), "RFC 9112, 8",
            proxied=Proxied.SKIP),
    refuses("a request instead of trailers", stream(chunk() + b"0\r\nGET /metrics HTTP/1.1\r\n\r\n"), _SYNTAX,
            proxied=Proxied.REPAIRED),
)  # fmt: skip
