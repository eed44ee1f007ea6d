"""Sizes and counts, with the default settings and, for bodies and connections, with small limits."""

from typing import Any, Final

from tests.attack.case import Case, Drip, Flood, On, Proxied, Step, Then
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
    large,
    post,
    refuses,
    responses,
    stream,
    want,
)
from tests.attack.gateways import NARROW, SMALL

_LINE: Final = "SEPAL_MAX_REQUEST_LINE_BYTES"
_HEADER: Final = "SEPAL_MAX_HEADER_BYTES"
_ALL: Final = "SEPAL_MAX_HEADERS_BYTES"
_NUMBER: Final = "SEPAL_MAX_HEADERS"
_BODY: Final = "SEPAL_MAX_BODY_BYTES"
_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_ALONE: Final = (("127.0.0.2", 0),)
"""Holds no connection, but no other case runs at the same time."""
_LARGE: Final = b"x" * (64 * _KIB)
_TOO_LARGE: Final[dict[str, Any]] = {"code": "headers-too-large", "proxied": Proxied.REPAIRED}


def _numbered(count: int) -> bytes:
    """Write a request of so many headers."""
    return get(b"/livez", *(b"X-%d: y" % number for number in range(count - 1)))


def _padded(size: int) -> bytes:
    """Write a body of one row that is padded to a size."""
    return ROW[:-1] + b" " * (size - len(ROW)) + ROW[-1:]


def _exactly(size: int) -> tuple[Step, ...]:
    """Write a request with a body of one row that is padded to a size."""
    padding = size - len(ROW)
    return large(ROW[:-1] + b" " * (padding % 100), b" ", padding - padding % 100, ROW[-1:])


def _length(size: int, path: bytes = b"/predict", *headers: bytes) -> bytes:
    return head(b"POST %b HTTP/1.1" % path, HOST, JSON, b"Content-Length: %d" % size, *headers)


CASES: Final[tuple[Case, ...]] = (
    accepts("a request line of 8,000 bytes", get(b"/livez?" + b"a" * 7970), _LINE, proxied=Proxied.REPAIRED),
    accepts("a path of 8,000 bytes", get(b"/" + b"a" * 7970), _LINE, 404, proxied=Proxied.REPAIRED),
    refuses("a request line of 8,400 bytes", get(b"/livez?" + b"a" * 8400), _LINE, 414, code="request-line-too-long",
            proxied=Proxied.REPAIRED),
    refuses("a request line of 1 MB", (b"GET /", Flood(b"a" * 10_000, 100)), _LINE, 414, code="request-line-too-long",
            then=Then.ENDED),
    refuses("a method of 1 MB", (Flood(b"A" * 10_000, 100),), _LINE, 400, 414, 501, code="", then=Then.ENDED),
    refuses("a version of 1 MB", (b"GET / HTTP/1.", Flood(b"1" * 10_000, 100)), _LINE, 400, 414, code="",
            then=Then.ENDED),
    refuses("a request line of 64 MB", (b"GET /", Flood(_LARGE, 1024)), _LINE, 414, code="request-line-too-long",
            then=Then.ENDED),
    accepts("a header of 8,000 bytes", get(b"/livez", b"X: " + b"a" * 7990), _HEADER, proxied=Proxied.REPAIRED),
    refuses("a header of 8,400 bytes", get(b"/livez", b"X: " + b"a" * 8400), _HEADER, 431, **_TOO_LARGE),
    refuses("a name of 8,400 bytes", get(b"/livez", b"X" * 8400 + b": y"), _HEADER, 431, **_TOO_LARGE),
    refuses("a cookie of 16 kB", get(b"/livez", b"Cookie: " + b"a=b; " * 3300), _HEADER, 431, **_TOO_LARGE),
    refuses("a header of 1 MB that does not end", (get()[:-2] + b"X: ", Flood(b"a" * 10_000, 100)), _HEADER, 431,
            code="headers-too-large", then=Then.ENDED),
    refuses("a header of 64 MB that does not end", (get()[:-2] + b"X: ", Flood(_LARGE, 1024)), _HEADER, 431,
            code="headers-too-large", then=Then.ENDED),
    refuses("a name of 1 MB that does not end", (get()[:-2], Flood(b"X" * 10_000, 100)), _HEADER, 431,
            code="headers-too-large", then=Then.ENDED),
    refuses("spaces of 1 MB before a value", (get()[:-2] + b"X:", Flood(b" " * 10_000, 100)), _HEADER, 431,
            code="headers-too-large", then=Then.ENDED),
    refuses("Prefer of 1 MB", (post()[: -len(ROW) - 2] + b"Prefer: ", Flood(b"a=b, " * 2000, 100)), _HEADER, 431,
            code="headers-too-large", then=Then.ENDED),
    accepts("headers of 28 kB", get(b"/livez", *(b"X: " + b"a" * 1000 for _ in range(28))), _ALL,
            proxied=Proxied.REPAIRED),
    refuses("headers of 40 kB", get(b"/livez", *(b"X: " + b"a" * 1000 for _ in range(40))), _ALL, 431, **_TOO_LARGE),
    accepts("100 headers", _numbered(100), _NUMBER, body=LIVE, proxied=Proxied.REPAIRED),
    refuses("101 headers", _numbered(101), _NUMBER, 431, **_TOO_LARGE),
    refuses("1,000 headers", _numbered(1000), _NUMBER, 431, **_TOO_LARGE),
    refuses("100,000 headers", (get()[:-2], Flood(b"X: y\r\n" * 1000, 100)), _NUMBER, 431, code="headers-too-large",
            then=Then.ENDED),
    refuses("a million empty headers", (get()[:-2], Flood(b"X:\r\n" * 10_000, 100)), _NUMBER, 431,
            code="headers-too-large", then=Then.ENDED),
    responses("large headers after a good request", get() + _numbered(101),
            (OK, want(431, code="headers-too-large")), _NUMBER, then=Then.CLOSED, proxied=Proxied.REPAIRED),
    # Bodies
    accepts("a body of exactly 8 MiB", _exactly(8 * _MIB), _BODY),
    accepts("a chunked body of exactly 8 MiB",
            (stream(b""), Flood(chunk(b" " * _KIB), 8 * _KIB - 1), chunk(b" " * (_KIB - len(ROW))),
             chunk() + b"0\r\n\r\n"), _BODY),
    refuses("a length of 8 MiB and one byte", _length(8 * _MIB + 1), _BODY, 413, code="body-too-large"),
    refuses("a length of 64 MB, and the body", (_length(64 * _MIB), Flood(_LARGE, 1024)), _BODY, 413,
            code="body-too-large", then=Then.ENDED),
    refuses("a length of 1 TB", _length(10**12), _BODY, 413, code="body-too-large"),
    refuses("a length of 64 MB to an unknown path", (_length(64 * _MIB, b"/nowhere"), Flood(_LARGE, 1024)), _BODY, 404,
            413, code="", then=Then.ENDED),
    refuses("a length of 64 MB with a wrong method", (_length(64 * _MIB, b"/livez"), Flood(_LARGE, 1024)), _BODY, 405,
            413, code="", then=Then.ENDED),
    refuses("a length of 64 MB of another type",
            (head(b"POST /predict HTTP/1.1", HOST, b"Content-Length: 67108864"), Flood(_LARGE, 1024)), _BODY, 413, 415,
            code="", then=Then.ENDED),
    refuses("a chunk of 64 MB", (head(b"POST /predict HTTP/1.1", HOST, JSON, CHUNKED) + b"4000000\r\n",
                                 Flood(_LARGE, 1024)), _BODY, 413, code="body-too-large", then=Then.ENDED),
    refuses("chunks of 64 MB", (head(b"POST /predict HTTP/1.1", HOST, JSON, CHUNKED), Flood(chunk(_LARGE), 1024)),
            _BODY, 413, code="body-too-large", then=Then.ENDED),
    refuses("chunks of 64 MB to an unknown path",
            (head(b"POST /nowhere HTTP/1.1", HOST, JSON, CHUNKED), Flood(chunk(_LARGE), 1024)), _BODY, 404, 413,
            code="", then=Then.ENDED),
    accepts("200,000 chunks of a byte", (stream(b""), Flood(chunk(b" ") * 10_000, 20), b"0\r\n\r\n"), _BODY, 400, 413,
            then=Then.ANY),
    accepts("a body at a small limit", post(_padded(SMALL["max_body_bytes"])), _BODY, on=On.SMALL),
    refuses("a body beyond a small limit", _length(SMALL["max_body_bytes"] + 1), _BODY, 413, code="body-too-large",
            on=On.SMALL),
    refuses("a chunked body beyond a small limit",
            head(b"POST /predict HTTP/1.1", HOST, JSON, CHUNKED) + chunk(_padded(SMALL["max_body_bytes"] + 1)), _BODY,
            413, code="body-too-large", on=On.SMALL),
    refuses("a body beyond the limit that is sent slowly",
            (head(b"POST /predict HTTP/1.1", HOST, JSON, CHUNKED),
             Drip(chunk(b" " * 999) * 200, every=0.01, size=1000)), _BODY, 413, code="body-too-large", on=On.SMALL),
    refuses("more bodies than a gateway receives", post(_padded(NARROW["max_bodies_bytes"] + 1)),
            "SEPAL_MAX_BODIES_BYTES", 503, code="too-many-bodies", on=On.NARROW, held=_ALONE),
    accepts("as many bodies as a gateway receives", post(_padded(NARROW["max_bodies_bytes"])),
            "SEPAL_MAX_BODIES_BYTES", on=On.NARROW, held=_ALONE),
    # Connections
    responses("as many requests as a connection may have", get() * NARROW["max_requests_per_connection"],
            (OK,) * NARROW["max_requests_per_connection"], "SEPAL_MAX_REQUESTS_PER_CONNECTION", then=Then.CLOSED,
            on=On.NARROW),
    responses("more requests than a connection may have", get() * (NARROW["max_requests_per_connection"] + 3),
            (OK,) * NARROW["max_requests_per_connection"], "SEPAL_MAX_REQUESTS_PER_CONNECTION", then=Then.ENDED,
            on=On.NARROW),
    accepts("fewer connections than an address may have", get(), "SEPAL_MAX_CONNECTIONS_PER_ADDRESS", on=On.NARROW,
            held=(("127.0.0.1", NARROW["max_connections_per_address"] - 1),)),
    refuses("more connections than an address may have", get(), "SEPAL_MAX_CONNECTIONS_PER_ADDRESS", 503,
            code="too-many-connections", on=On.NARROW, held=(("127.0.0.1", NARROW["max_connections_per_address"]),)),
    accepts("another address with all its connections", get(), "SEPAL_MAX_CONNECTIONS_PER_ADDRESS", on=On.NARROW,
            held=(("127.0.0.2", NARROW["max_connections_per_address"]),)),
    refuses("more connections than a gateway may have", get(), "SEPAL_MAX_CONNECTIONS", 503,
            code="too-many-connections", on=On.NARROW,
            held=tuple((f"127.0.0.{number}", NARROW["max_connections"] // 2) for number in (2, 3))),
)  # fmt: skip
