"""Builds requests as bytes, and cases from them."""

from typing import Any, Final

from tests.attack.case import Case, Flood, Step, Then, Want

ROW: Final = b'{"data":[[5.1,3.5,1.4,0.2]]}'
JSON: Final = b"Content-Type: application/json"
HOST: Final = b"Host: sepal"
CHUNKED: Final = b"Transfer-Encoding: chunked"
SMUGGLED: Final = b"GET /metrics HTTP/1.1\r\nHost: sepal\r\n\r\n"
"""A request that is never answered where it is a part of a body."""
GARBAGE: Final = b"\x00garbage\r\n\r\n"
LIVE: Final = '{"status":"live"}'


def head(line: bytes, *headers: bytes) -> bytes:
    """Write a request line and headers as they are."""
    return b"\r\n".join([line, *headers, b"", b""])


def get(path: bytes = b"/livez", *headers: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """Write a request without a body."""
    return head(b"%b %b %b" % (method, path, version), HOST, *headers)


def post(body: bytes = ROW, *headers: bytes, path: bytes = b"/predict", media: bytes = JSON) -> bytes:
    """Write a request with a body of a known length."""
    length = b"Content-Length: %d" % len(body)
    return head(b"POST %b HTTP/1.1" % path, HOST, *([media] if media else []), length, *headers) + body


def large(begin: bytes, unit: bytes, times: int, end: bytes, *headers: bytes) -> tuple[Step, ...]:
    """Write a request with a large body that repeats `unit` `times` times, and is not kept in memory.

    Args:
        begin: how the body begins.
        unit: what is repeated.
        times: how often; a multiple of 100.
        end: how the body ends.
        headers: further headers.
    """
    length = b"Content-Length: %d" % (len(begin) + len(unit) * times + len(end))
    opened = head(b"POST /predict HTTP/1.1", HOST, JSON, length, *headers)
    return opened + begin, Flood(unit * (times // 100), 100), end


def stream(body: bytes, *headers: bytes, path: bytes = b"/predict", method: bytes = b"POST") -> bytes:
    """Write a request with a chunked body, which is given as it is on the wire."""
    return head(b"%b %b HTTP/1.1" % (method, path), HOST, JSON, CHUNKED, *headers) + body


def chunk(data: bytes = ROW, extension: bytes = b"") -> bytes:
    """Write one chunk."""
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def trailed(*trailers: bytes) -> bytes:
    """Write a chunked body of one row, with trailers."""
    return chunk() + b"0\r\n" + b"".join(b"%b\r\n" % trailer for trailer in trailers) + b"\r\n"


def want(*statuses: int, code: str = "", body: str = "", **more: Any) -> Want:
    """Describe a response."""
    return Want(statuses, code=code, body=body, **more)


OK: Final = want(200)
MALFORMED: Final = want(400, code="malformed-request", headers={"connection": "close"})


def accepts(name: str, sends: bytes | tuple[Step, ...], rfc: str, *statuses: int, **more: Any) -> Case:
    """Describe one request that is answered, and leaves the connection open; 200 by default."""
    wanted = {key: more.pop(key) for key in ("code", "body", "headers", "check") if key in more}
    steps = (sends,) if isinstance(sends, bytes) else sends
    return Case(name, steps, (want(*(statuses or (200,)), **wanted),), rfc, **more)


def refuses(
    name: str,
    sends: bytes | tuple[Step, ...],
    rfc: str,
    *statuses: int,
    code: str | None = None,
    **more: Any,
) -> Case:
    """Describe one request that is refused by the protocol, and ends the connection; 400 by default."""
    steps = (sends,) if isinstance(sends, bytes) else sends
    known = "malformed-request" if statuses in ((), (400,)) else ""
    wanted = want(*(statuses or (400,)), code=known if code is None else code, headers={"connection": "close"})
    return Case(name, steps, (wanted,), rfc, **{"then": Then.CLOSED, **more})


def responses(name: str, sends: bytes | tuple[Step, ...], wants: tuple[Want, ...], rfc: str, **more: Any) -> Case:
    """Describe a connection with several responses."""
    return Case(name, (sends,) if isinstance(sends, bytes) else sends, wants, rfc, **more)
