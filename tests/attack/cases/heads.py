"""The syntax of header fields, and Host."""

from typing import Final

from tests.attack.case import Case, Proxied, Then
from tests.attack.cases.build import HOST, JSON, LIVE, ROW, accepts, get, head, post, refuses

_SYNTAX: Final = "RFC 9112, 5"
_NAME: Final = "RFC 9110, 5.1"
_VALUE: Final = "RFC 9110, 5.5"
_HOST: Final = "RFC 9112, 3.2"
_LINE: Final = b"GET /livez HTTP/1.1"
_ONCE: Final = "RFC 9110, 5.3"


def _with(*headers: bytes) -> bytes:
    return head(_LINE, HOST, *headers)


def _host(value: bytes) -> bytes:
    return head(_LINE, b"Host: " + value)


def _twice(name: bytes, first: bytes, second: bytes) -> bytes:
    body = ROW
    fields = [JSON, b"Content-Length: %d" % len(body)]
    kept = [field for field in fields if not field.lower().startswith(name.lower())]
    repeated = [b"%b: %b" % (name, first), b"%b: %b" % (name, second)]
    return head(b"POST /predict HTTP/1.1", HOST, *kept, *repeated) + body


CASES: Final[tuple[Case, ...]] = (
    accepts("names in any case", head(_LINE, b"hOsT: sepal", b"ACCEPT: */*"), _NAME, body=LIVE),
    accepts("spaces and tabs around a value", _with(b"Accept:\t  */* \t "), "RFC 9110, 5.6.3"),
    accepts("no space before a value", head(_LINE, b"Host:sepal"), _SYNTAX),
    accepts("an empty value", _with(b"X-Empty:"), _VALUE),
    accepts("a value of spaces", _with(b"X-Empty:   "), _VALUE),
    accepts("bytes beyond ASCII in a value", _with(b"X-Text: caf\xe9 \xff\xc3\xa9"), _VALUE),
    accepts("all token characters in a name", _with(b"!#$%&'*+-.^_`|~09Az: x"), "RFC 9110, 5.6.2",
            proxied=Proxied.REPAIRED),
    accepts("an unknown header a hundred bytes long", _with(b"X-" + b"a" * 100 + b": b"), _NAME),
    accepts("a name with an underscore", _with(b"Content_Length: 99"), _NAME),
    accepts("a name that a script would trust", _with(b"__proto__: x", b"constructor: y"), _NAME),
    refuses("a space before the colon", _with(b"Accept : */*"), "RFC 9112, 5.1", proxied=Proxied.REPAIRED),
    refuses("a tab before the colon", _with(b"Accept\t: */*"), "RFC 9112, 5.1"),
    refuses("a space in a name", _with(b"Acc ept: */*"), _NAME, proxied=Proxied.REPAIRED),
    refuses("an empty name", _with(b": x"), _NAME, proxied=Proxied.REPAIRED),
    refuses("a line without a colon", _with(b"Accept"), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("a second request line", _with(_LINE), _SYNTAX, proxied=Proxied.REPAIRED),
    refuses("a name with a slash", _with(b"X/Y: x"), _NAME, proxied=Proxied.REPAIRED),
    refuses("a name with a parenthesis", _with(b"X(Y): x"), _NAME, proxied=Proxied.REPAIRED),
    refuses("a name with a quote", _with(b'"X": x'), _NAME, proxied=Proxied.REPAIRED),
    refuses("a name with brackets", _with(b"X[0]: x"), _NAME, proxied=Proxied.REPAIRED),
    refuses("a name with a control character", _with(b"X\x01Y: x"), _NAME, proxied=Proxied.REPAIRED),
    refuses("a name with DEL", _with(b"X\x7fY: x"), _NAME, proxied=Proxied.REPAIRED),
    refuses("a name with NUL", _with(b"X\x00Y: x"), _NAME),
    refuses("a name beyond ASCII", _with("Ä: x".encode()), _NAME, proxied=Proxied.REPAIRED),
    refuses("NUL in a value", _with(b"X: a\x00b"), _VALUE),
    refuses("CR in a value", _with(b"X: a\rb"), _VALUE),
    refuses("CR in a value, and a header after it", _with(b"X: a\rHost: other"), _VALUE),
    refuses("CR before the end of a line", _with(b"X: a\r"), _VALUE, proxied=Proxied.REPAIRED),
    refuses("a header that ends with LF", b"GET /livez HTTP/1.1\r\nHost: sepal\nX: y\r\n\r\n", "RFC 9112, 2.2",
            proxied=Proxied.REPAIRED),
    refuses("a control character in a value", _with(b"X: a\x01b"), _VALUE, proxied=Proxied.REPAIRED),
    refuses("a backspace in a value", _with(b"X: a\x08b"), _VALUE, proxied=Proxied.REPAIRED),
    refuses("an escape sequence in a value", _with(b"User-Agent: \x1b[31mred"), _VALUE, proxied=Proxied.REPAIRED),
    refuses("DEL in a value", _with(b"X: a\x7fb"), _VALUE, proxied=Proxied.REPAIRED),
    refuses("a folded header", _with(b"X: a", b" b"), "RFC 9112, 5.2", proxied=Proxied.REPAIRED),
    refuses("a header folded with a tab", _with(b"X: a", b"\tb"), "RFC 9112, 5.2", proxied=Proxied.REPAIRED),
    refuses("a folded Host", head(_LINE, b"Host: sepal", b" .example"), "RFC 9112, 5.2", proxied=Proxied.REPAIRED),
    refuses("a fold of spaces alone", _with(b"X: a", b" "), "RFC 9112, 5.2", proxied=Proxied.REPAIRED),
    refuses("a space before the first header", head(_LINE, b" Host: sepal"), "RFC 9112, 2.2"),
    refuses("a space before the first of two headers", head(_LINE, b" X: y", HOST), "RFC 9112, 2.2",
            proxied=Proxied.REPAIRED),
    refuses("headers that end with LF", b"GET /livez HTTP/1.1\r\nHost: sepal\r\n\n", "RFC 9112, 2.2",
            proxied=Proxied.REPAIRED),
    refuses("headers that end with CR CR LF", b"GET /livez HTTP/1.1\r\nHost: sepal\r\n\r\r\n", "RFC 9112, 2.2",
            proxied=Proxied.REPAIRED),
    refuses("headers that end with CR and a letter", b"GET /livez HTTP/1.1\r\nHost: sepal\r\n\rX", "RFC 9112, 2.2"),
    # Host
    refuses("no Host", head(_LINE), _HOST),
    refuses("no Host but a like name", head(_LINE, b"X-Host: sepal", b"Hosts: sepal"), _HOST),
    refuses("two equal Hosts", head(_LINE, HOST, HOST), _HOST),
    refuses("two different Hosts", head(_LINE, HOST, b"Host: other"), _HOST),
    refuses("two Hosts in different case", head(_LINE, HOST, b"HOST: sepal"), _HOST),
    refuses("two Hosts and HTTP/1.0", head(b"GET /livez HTTP/1.0", HOST, b"Host: other"), _HOST),
    refuses("two Hosts, and one is empty", head(_LINE, HOST, b"Host:"), _HOST),
    accepts("Host with a port", _host(b"sepal:8000"), "RFC 9110, 7.2"),
    accepts("Host with an empty port", _host(b"sepal:"), "RFC 3986, 3.2.3"),
    accepts("Host is an IPv4 address", _host(b"127.0.0.1:80"), "RFC 9110, 7.2"),
    accepts("Host is an IPv6 address", _host(b"[::1]:80"), "RFC 9110, 7.2"),
    accepts("Host with sub-delimiters", _host(b"se_pal~!$&'()*+,;="), "RFC 3986, 3.2.2", proxied=Proxied.REPAIRED),
    accepts("an empty Host", _host(b""), _HOST, 200, 400, then=Then.ANY, proxied=Proxied.REPAIRED),
    refuses("Host with letters as port", _host(b"sepal:http"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with two ports", _host(b"sepal:80:80"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with an open bracket", _host(b"[::1"), _HOST),
    refuses("Host with a slash", _host(b"sepal/livez"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with a scheme", _host(b"http://sepal"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with a space", _host(b"se pal"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with a tab", _host(b"se\tpal"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with user information", _host(b"root@sepal"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with a query", _host(b"sepal?x"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with a fragment", _host(b"sepal#x"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with a backslash", _host(b"sepal\\x"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host is a list", _host(b"sepal, other"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with a quote", _host(b'"sepal"'), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with markup", _host(b"<b>"), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host beyond ASCII", _host("sépal".encode()), _HOST, proxied=Proxied.REPAIRED),
    refuses("Host with a bad escape", _host(b"sepal%zz"), _HOST, proxied=Proxied.REPAIRED),
    # Headers that must not be repeated
    refuses("two Content-Types", _twice(b"Content-Type", b"application/json", b"application/json"), _ONCE,
            proxied=Proxied.REPAIRED),
    refuses("two different Content-Types", _twice(b"Content-Type", b"text/plain", b"application/json"), _ONCE,
            proxied=Proxied.REPAIRED),
    refuses("two Authorizations", _twice(b"Authorization", b"Bearer a", b"Bearer b"), _ONCE, proxied=Proxied.REPAIRED),
    refuses("two Idempotency-Keys", _twice(b"Idempotency-Key", b"a", b"b"), _ONCE),
    refuses("two equal Idempotency-Keys", _twice(b"Idempotency-Key", b"a", b"a"), _ONCE),
    refuses("two Sepal-Deadlines", _twice(b"Sepal-Deadline", b"5", b"50"), _ONCE),
    accepts("two Accepts", _with(b"Accept: text/html", b"Accept: */*"), _ONCE),
    accepts("two Cookies", _with(b"Cookie: a=b", b"Cookie: c=d"), _ONCE),
    accepts("two Prefers", post(ROW, b"Prefer: wait=5", b"Prefer: handling=lenient"), "RFC 7240, 2"),
    # Connection
    accepts("Connection: close", get(b"/livez", b"Connection: close"), "RFC 9112, 9.6", then=Then.CLOSED,
            headers={"connection": "close"}, proxied=Proxied.REPAIRED),
    accepts("Connection: Close in a list", get(b"/livez", b"Connection: foo, Close"), "RFC 9112, 9.6",
            then=Then.CLOSED, proxied=Proxied.REPAIRED),
    accepts("close and keep-alive", get(b"/livez", b"Connection: keep-alive, close"), "RFC 9112, 9.3",
            then=Then.CLOSED, proxied=Proxied.REPAIRED),
    accepts("Connection names a header of the request", get(b"/livez", b"Connection: Host"), "RFC 9110, 7.6.1",
            proxied=Proxied.REPAIRED),
    accepts("Keep-Alive with parameters", get(b"/livez", b"Keep-Alive: timeout=1000000, max=0"), "RFC 9112, C.2.2"),
)  # fmt: skip
