"""Request lines, methods and versions."""

from typing import Final

from tests.attack.case import Case, Proxied, Then
from tests.attack.cases.build import HOST, LIVE, accepts, get, head, refuses

_LINE: Final = "RFC 9112, 3"
_VERSION: Final = "RFC 9112, 2.3"
_METHOD: Final = "RFC 9110, 9.1"


def _line(line: bytes) -> bytes:
    return head(line, HOST)


def _method(method: bytes) -> bytes:
    return _line(method + b" /livez HTTP/1.1")


def _version(version: bytes) -> bytes:
    return _line(b"GET /livez " + version)


CASES: Final[tuple[Case, ...]] = (
    accepts("an honest request", get(), _LINE, body=LIVE),
    accepts("an empty line before the request", b"\r\n" + get(), "RFC 9112, 2.2"),
    accepts("every byte is a packet", tuple(bytes([byte]) for byte in get()), _LINE),
    refuses("two spaces after the method", _line(b"GET  /livez HTTP/1.1"), _LINE, proxied=Proxied.REPAIRED),
    refuses("two spaces before the version", _line(b"GET /livez  HTTP/1.1"), _LINE, proxied=Proxied.REPAIRED),
    refuses("a tab after the method", _line(b"GET\t/livez HTTP/1.1"), _LINE),
    refuses("a tab before the version", _line(b"GET /livez\tHTTP/1.1"), _LINE),
    refuses("a space before the method", _line(b" GET /livez HTTP/1.1"), _LINE),
    refuses("a space after the version", _line(b"GET /livez HTTP/1.1 "), _LINE, proxied=Proxied.REPAIRED),
    refuses("a tab after the version", _line(b"GET /livez HTTP/1.1\t"), _LINE),
    refuses("a fourth word", _line(b"GET /livez x HTTP/1.1"), _LINE),
    refuses("a form feed as a space", _line(b"GET\x0c/livez HTTP/1.1"), _LINE),
    refuses("no target", _line(b"GET HTTP/1.1"), _LINE),
    refuses("no version", _line(b"GET /livez"), _LINE, proxied=Proxied.SKIP),
    refuses("a method alone", _line(b"GET"), _LINE),
    refuses("a request line that ends with LF", b"GET /livez HTTP/1.1\nHost: sepal\r\n\r\n", "RFC 9112, 2.2",
            proxied=Proxied.REPAIRED),
    refuses("every line ends with LF", get().replace(b"\r\n", b"\n"), "RFC 9112, 2.2", proxied=Proxied.REPAIRED),
    refuses("a request line that ends with CR", b"GET /livez HTTP/1.1\rHost: sepal\r\n\r\n", "RFC 9112, 2.2"),
    refuses("a request line that ends with CR CR LF", b"GET /livez HTTP/1.1\r\r\nHost: sepal\r\n\r\n", "RFC 9112, 2.2",
            proxied=Proxied.REPAIRED),
    refuses("NUL in the request line", _line(b"GET /livez\x00 HTTP/1.1"), _LINE),
    refuses("NUL before the request line", b"\x00" + get(), _LINE),
    refuses("a byte order mark before the request line", b"\xef\xbb\xbf" + get(), _LINE),
    refuses("an empty method", _line(b" /livez HTTP/1.1"), _LINE),
    # Methods
    refuses("an unknown method", _method(b"BREW"), _METHOD, 501, code="not-implemented"),
    refuses("a method in lower case", _method(b"get"), _METHOD, 501, code="not-implemented"),
    refuses("a method with another case at its end", _method(b"GEt"), _METHOD, 501, code="not-implemented"),
    refuses("a method that begins as another", _method(b"GETS"), _METHOD, 501, code="not-implemented"),
    refuses("a method that is cut", _method(b"GE"), _METHOD, 501, code="not-implemented"),
    refuses("a method of all token characters", _method(b"!#$%&'*+-.^_`|~09"), _METHOD, 501, code="not-implemented"),
    refuses("a method of 100 letters", _method(b"A" * 100), _LINE, 501, code="not-implemented"),
    refuses("a method with a separator", _method(b"G@T"), _METHOD),
    refuses("a method with a quote", _method(b'"GET"'), _METHOD),
    refuses("a method that is not ASCII", _method(b"G\xc3\x89T"), _METHOD),
    refuses("a method with NUL", _method(b"GET\x00"), _METHOD),
    refuses("CONNECT", head(b"CONNECT sepal:443 HTTP/1.1", b"Host: sepal:443"), "RFC 9110, 9.3.6", 501,
            code="not-implemented"),
    refuses("CONNECT with a path", _line(b"CONNECT /livez HTTP/1.1"), "RFC 9110, 9.3.6", 400, 501, code="",
            proxied=Proxied.SKIP),
    accepts("PUT", _method(b"PUT"), "RFC 9110, 15.5.6", 405, headers={"allow": "*"}),
    accepts("PATCH", _method(b"PATCH"), "RFC 9110, 15.5.6", 405, headers={"allow": "*"}),
    # Versions
    accepts("a later minor version", _version(b"HTTP/1.2"), "RFC 9110, 2.5", proxied=Proxied.REPAIRED),
    accepts("the last minor version", _version(b"HTTP/1.9"), "RFC 9110, 2.5", proxied=Proxied.REPAIRED),
    accepts("HTTP/1.0", _version(b"HTTP/1.0"), "RFC 9112, 9.3", then=Then.CLOSED, body=LIVE),
    accepts("HTTP/1.0 without Host", head(b"GET /livez HTTP/1.0"), "RFC 9112, 3.2", then=Then.CLOSED),
    accepts("HTTP/1.0 that wants to stay", get(b"/livez", b"Connection: keep-alive", version=b"HTTP/1.0"),
            "RFC 9112, C.2.2", then=Then.ANY),
    refuses("HTTP/0.9 by name", _version(b"HTTP/0.9"), "RFC 9110, 15.6.6", 505, code="http-version-not-supported",
            proxied=Proxied.REPAIRED),
    refuses("HTTP/0.9 as it was", b"GET /livez\r\n", _LINE, proxied=Proxied.SKIP),
    refuses("HTTP/2.0 by name", _version(b"HTTP/2.0"), "RFC 9110, 15.6.6", 505, code="http-version-not-supported"),
    refuses("HTTP/3.0 by name", _version(b"HTTP/3.0"), "RFC 9110, 15.6.6", 505, code="http-version-not-supported"),
    refuses("HTTP/9.9", _version(b"HTTP/9.9"), "RFC 9110, 15.6.6", 505, code="http-version-not-supported"),
    refuses("HTTP/0.0", _version(b"HTTP/0.0"), "RFC 9110, 15.6.6", 505, code="http-version-not-supported",
            proxied=Proxied.REPAIRED),
    refuses("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "RFC 9113, 3.4", 505,
            code="http-version-not-supported"),
    refuses("a version with a letter", _version(b"HTTP/1.x"), _VERSION),
    refuses("a version without a minor", _version(b"HTTP/1"), _VERSION),
    refuses("a version with an empty minor", _version(b"HTTP/1."), _VERSION),
    refuses("a version of three numbers", _version(b"HTTP/1.1.1"), _VERSION),
    refuses("a minor version of two digits", _version(b"HTTP/1.10"), _VERSION, proxied=Proxied.REPAIRED),
    refuses("a major version of two digits", _version(b"HTTP/11.1"), _VERSION),
    refuses("a major version with a zero", _version(b"HTTP/01.1"), _VERSION, proxied=Proxied.REPAIRED),
    refuses("a version with a comma", _version(b"HTTP/1,1"), _VERSION),
    refuses("a version with a sign", _version(b"HTTP/+1.1"), _VERSION),
    refuses("a version with a space", _version(b"HTTP/ 1.1"), _VERSION),
    refuses("the protocol's name in lower case", _version(b"http/1.1"), _VERSION),
    refuses("RTSP", _version(b"RTSP/1.0"), _VERSION),
    refuses("ICE", _version(b"ICE/1.0"), _VERSION),
    refuses("HTTPS as a protocol", _version(b"HTTPS/1.1"), _VERSION),
    refuses("a protocol with a letter more", _version(b"XHTTP/1.1"), _VERSION),
)  # fmt: skip
