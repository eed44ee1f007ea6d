"""The head of a request: what RFC 9110 and RFC 9112 allow, and the limits."""

import pytest

from api.http.server.head import HeadProbe, parse_head
from api.http.server.refusals import Refused
from api.settings import ConnectionSettings

LIMITS = ConnectionSettings(
    max_request_line_bytes=100, max_header_bytes=120, max_headers_bytes=400, max_headers=8, max_body_bytes=1000
)


def head(line: str, *headers: str, host: str = "Host: a") -> bytes:
    return "".join(f"{part}\r\n" for part in (line, *([host] if host else []), *headers, "")).encode("latin-1")


def probe(begun: bytes, step: int) -> None:
    """Feed the beginning of a head in parts."""
    unfinished = HeadProbe(LIMITS)
    for start in range(0, len(begun), step):
        unfinished.feed(begun[: start + step], begun[start : start + step])


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as refused:
        parse_head(data, LIMITS)
    return refused.value.code


def test_head_is_split_into_path_query_and_headers() -> None:
    found = parse_head(head("POST /a%20b?c=%20d HTTP/1.1", "X-Y:  z \t", "Content-Length: 12"), LIMITS)

    assert (found.method, found.path, found.raw_path, found.query) == ("POST", "/a b", b"/a%20b", b"c=%20d")
    assert found.headers == [(b"host", b"a"), (b"x-y", b"z"), (b"content-length", b"12")]
    assert (found.body_bytes, found.minor_version, found.closes) == (12, 1, False)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://b.example:80/x?y", "/x", b"y"),
        ("HTTP://b.example", "/", b""),
        ("https://[::1]:8000?y", "/", b"y"),
        ("//x", "//x", b""),
    ],
)
def test_absolute_targets_are_accepted(target: str, path: str, query: bytes) -> None:
    found = parse_head(head(f"GET {target} HTTP/1.1"), LIMITS)

    assert (found.path, found.query) == (path, query)


def test_asterisk_stands_with_options() -> None:
    assert parse_head(head("OPTIONS * HTTP/1.1"), LIMITS).path == "*"
    assert refusal(head("GET * HTTP/1.1")) == "malformed-request"


@pytest.mark.parametrize("target", ["x", "http:///x", "ftp://a/x", "/a#b", "a:80", "http://a b/"])
def test_other_targets_are_refused(target: str) -> None:
    assert refusal(head(f"GET {target} HTTP/1.1")) == "malformed-request"


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("HTTP/2.0", "http-version-not-supported"),
        ("HTTP/0.9", "http-version-not-supported"),
        ("HTTP/11.1", "malformed-request"),
        ("", "malformed-request"),
        ("RTSP/1.0", "malformed-request"),
        ("http/1.1", "malformed-request"),
        ("HTTP/1.1 ", "malformed-request"),
    ],
)
def test_other_versions_are_refused(version: str, code: str) -> None:
    assert refusal(head(f"GET / {version}")) == code


def test_later_minor_version_is_answered_as_the_latest_that_is_known() -> None:
    assert parse_head(head("GET / HTTP/1.7"), LIMITS).minor_version == 1


@pytest.mark.parametrize("method", ["BREW", "get", "CONNECT"])
def test_unknown_method_is_not_implemented(method: str) -> None:
    assert refusal(head(f"{method} / HTTP/1.1")) == "not-implemented"


@pytest.mark.parametrize(
    "data",
    [
        head("GET / HTTP/1.1", host=""),
        head("GET / HTTP/1.1", "Host: b"),
        head("GET / HTTP/1.1", host="Host: a b"),
        head("GET / HTTP/1.1", host="Host: a/b"),
        head("GET / HTTP/1.1", host="Host: a@b"),
        head("GET / HTTP/1.1", host="Host: a%zz"),
        head("GET / HTTP/1.1", "Authorization: x", "Authorization: y"),
        head("GET / HTTP/1.1", "Idempotency-Key: x", "idempotency-key: x"),
        head("GET / HTTP/1.1", "X : y"),
        head("GET / HTTP/1.1", "X: y", " z"),
        head("GET / HTTP/1.1", ": y"),
        head("GET / HTTP/1.1", "X: a\x00b"),
        head("GET / HTTP/1.1", "X: a\rb"),
        head("GET / HTTP/1.1", "X: a\nY: b"),
        head("GET  / HTTP/1.1"),
        head("GET / HTTP/1.1", "Content-Length: 1", "Content-Length: 1"),
        head("GET / HTTP/1.1", "Content-Length: 1, 1"),
        head("GET / HTTP/1.1", "Content-Length: +1"),
        head("GET / HTTP/1.1", "Content-Length: -1"),
        head("GET / HTTP/1.1", "Content-Length: 0x1"),
        head("GET / HTTP/1.1", "Content-Length:"),
        head("GET / HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"),
        head("GET / HTTP/1.1", "Transfer-Encoding: chunked, gzip"),
        head("GET / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        head("GET / HTTP/1.0", "Transfer-Encoding: chunked"),
    ],
)
def test_malformed_heads_are_refused(data: bytes) -> None:
    assert refusal(data) == "malformed-request"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Transfer-Encoding: gzip, chunked", "not-implemented"),
        ("Expect: 200-ok", "expectation-failed"),
        ("Content-Length: 1001", "body-too-large"),
        (f"Content-Length: {'9' * 100}", "body-too-large"),
    ],
)
def test_what_this_server_does_not_do_is_refused(header: str, code: str) -> None:
    assert refusal(head("POST / HTTP/1.1", header)) == code


def test_zeros_in_front_of_a_size_mean_nothing() -> None:
    limits = ConnectionSettings()

    assert parse_head(head("POST / HTTP/1.1", f"Content-Length: {'0' * 4301}7"), limits).body_bytes == 7


def test_body_of_unknown_size_is_chunked() -> None:
    assert parse_head(head("POST / HTTP/1.1", "Transfer-Encoding: Chunked"), LIMITS).body_bytes is None


def test_repeated_lists_are_joined() -> None:
    found = parse_head(head("GET / HTTP/1.1", "Connection: x", "Prefer: a", "Prefer: b", "Connection: Close"), LIMITS)

    assert found.closes
    assert found.headers.count((b"prefer", b"a")) == found.headers.count((b"prefer", b"b")) == 1


def test_upgrade_is_ignored() -> None:
    assert parse_head(head("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"), LIMITS).path == "/"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (head(f"GET /{'a' * 100} HTTP/1.1"), "request-line-too-long"),
        (head("GET / HTTP/1.1", f"X: {'a' * 120}"), "headers-too-large"),
        (head("GET / HTTP/1.1", *[f"X{i}: {'a' * 100}" for i in range(4)]), "headers-too-large"),
        (head("GET / HTTP/1.1", *[f"X{i}: a" for i in range(8)]), "headers-too-large"),
    ],
)
def test_limits_hold_for_whole_heads(data: bytes, code: str) -> None:
    assert refusal(data) == code


@pytest.mark.parametrize(
    ("begun", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01", "malformed-request"),
        (b"BREW / HT", "not-implemented"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "malformed-request"),
        (b"GET / HTTP/2.0\r\n", "http-version-not-supported"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n", "malformed-request"),
        (b"GET /" + b"a" * 100, "request-line-too-long"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 120, "headers-too-large"),
        (b"GET / HTTP/1.1\r\n" + b"X: aaaaaaaaaa\r\n" * 30, "headers-too-large"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_errors_are_found_before_the_head_is_complete(begun: bytes, code: str, step: int) -> None:
    with pytest.raises(Refused) as refused:
        probe(begun, step)
    assert refused.value.code == code


def test_beginning_of_a_valid_head_is_accepted() -> None:
    data = head("POST /predict HTTP/1.1", "Content-Length: 3", "X: y")
    probe(data[:-1], step=1)
    probe(data[:-1].replace(b"HTTP/1.1", b"HTTP/1.4"), step=1)
