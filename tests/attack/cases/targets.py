"""Targets of all four forms, and tricks with paths."""

from typing import Final

from tests.attack.case import Case, Proxied, Then
from tests.attack.cases.build import HOST, accepts, get, head, refuses

_FORMS: Final = "RFC 9112, 3.2"
_ABSOLUTE: Final = "RFC 9112, 3.2.2"
_PATH: Final = "RFC 3986, 3.3"


def _target(target: bytes, method: bytes = b"GET") -> bytes:
    return head(b"%b %b HTTP/1.1" % (method, target), HOST)


CASES: Final[tuple[Case, ...]] = (
    accepts("absolute form", _target(b"http://sepal/livez"), _ABSOLUTE),
    accepts("absolute form with a port", _target(b"http://sepal:8000/livez"), _ABSOLUTE),
    accepts("absolute form with a scheme in upper case", _target(b"HTTP://sepal/livez"), "RFC 3986, 3.1"),
    accepts("absolute form with an IPv6 address", _target(b"http://[::1]:80/livez"), _ABSOLUTE),
    accepts("absolute form with a query", _target(b"http://sepal/livez?a=b"), _ABSOLUTE),
    accepts("absolute form beside another Host", head(b"GET http://sepal/livez HTTP/1.1", b"Host: other"), _ABSOLUTE,
            proxied=Proxied.REPAIRED),
    accepts("absolute form without a path", _target(b"http://sepal"), "RFC 9110, 4.2.3", 200, 307, 308),
    refuses("absolute form without Host", head(b"GET http://sepal/livez HTTP/1.1"), _FORMS, proxied=Proxied.REPAIRED),
    refuses("absolute form with an empty host", _target(b"http:///livez"), "RFC 9110, 4.2.1"),
    refuses("absolute form with user information", _target(b"http://root:root@sepal/livez"), "RFC 9110, 4.2.4",
            proxied=Proxied.REPAIRED),
    refuses("absolute form with a letter as port", _target(b"http://sepal:x/livez"), _ABSOLUTE),
    refuses("absolute form with an open bracket", _target(b"http://[::1/livez"), _ABSOLUTE),
    refuses("absolute form with a fragment", _target(b"http://sepal/livez#x"), _FORMS, proxied=Proxied.REPAIRED),
    refuses("a scheme without slashes", _target(b"http:livez"), _ABSOLUTE),
    refuses("another scheme", _target(b"ftp://sepal/livez"), _ABSOLUTE, 400, 421, code="", proxied=Proxied.REPAIRED),
    refuses("a file", _target(b"file:///etc/passwd"), _ABSOLUTE, 400, 421, code=""),
    refuses("authority form for GET", _target(b"sepal:80"), "RFC 9112, 3.2.3"),
    refuses("a path without a slash", _target(b"livez"), _FORMS),
    refuses("a query alone", _target(b"?a=b"), _FORMS),
    refuses("a dot", _target(b"."), _FORMS),
    refuses("a backslash", _target(b"\\livez"), _FORMS),
    accepts("OPTIONS for the whole server", _target(b"*", b"OPTIONS"), "RFC 9110, 9.3.7", 204, headers={"allow": "*"},
            proxied=Proxied.REPAIRED),
    accepts("OPTIONS in absolute form without a path", _target(b"http://sepal", b"OPTIONS"), "RFC 9112, 3.2.4", 200,
            204, proxied=Proxied.REPAIRED),
    refuses("GET of an asterisk", _target(b"*"), "RFC 9112, 3.2.4"),
    refuses("HEAD of an asterisk", _target(b"*", b"HEAD"), "RFC 9112, 3.2.4", code="", head=True),
    refuses("POST to an asterisk", _target(b"*", b"POST"), "RFC 9112, 3.2.4"),
    refuses("an asterisk and a path", _target(b"*/livez", b"OPTIONS"), "RFC 9112, 3.2.4"),
    accepts("a path that begins with an asterisk", _target(b"/*"), _PATH, 404),
    refuses("a fragment", _target(b"/livez#x"), _FORMS, proxied=Proxied.REPAIRED),
    refuses("an empty fragment", _target(b"/livez#"), _FORMS, proxied=Proxied.REPAIRED),
    refuses("a space in the target", _target(b"/livez x"), "RFC 9112, 3.2", proxied=Proxied.REPAIRED),
    refuses("a tab in the target", _target(b"/livez\tx"), "RFC 9112, 3.2"),
    refuses("NUL in the target", _target(b"/live\x00z"), "RFC 9112, 3.2"),
    refuses("CR in the target", _target(b"/live\rz"), "RFC 9112, 3.2"),
    refuses("LF in the target", _target(b"/live\nz"), "RFC 9112, 3.2", proxied=Proxied.SKIP),
    refuses("DEL in the target", _target(b"/livez?\x7f"), "RFC 9112, 3.2", proxied=Proxied.REPAIRED),
    refuses("a control character in the target", _target(b"/livez?\x01"), "RFC 9112, 3.2"),
    refuses("a byte that is not ASCII in the path", _target(b"/livez\xff"), "RFC 9112, 3.2", proxied=Proxied.REPAIRED),
    refuses("UTF-8 in the query", _target("/livez?ä".encode()), "RFC 9112, 3.2", proxied=Proxied.REPAIRED),
    # Paths
    accepts("two slashes", _target(b"//livez"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("a path that looks like a host", _target(b"//evil.example/.."), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("a dot segment", _target(b"/./livez"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("a double dot segment", _target(b"/x/../livez"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("an encoded dot segment", _target(b"/%2e/livez"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("an encoded double dot segment", _target(b"/%2e%2e/livez"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("a doubly encoded dot segment", _target(b"/%252e%252e/livez"), _PATH, 404),
    accepts("an encoded slash", _target(b"/%2flivez"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("an encoded slash at the end", _target(b"/livez%2f"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("a backslash in the path", _target(b"/x\\..\\livez"), _PATH, 400, 404, then=Then.ANY),
    accepts("an encoded letter", _target(b"/%6civez"), "RFC 3986, 6.2.2.2"),
    accepts("an encoded NUL", _target(b"/livez%00"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("encoded line breaks", _target(b"/livez%0d%0aSet-Cookie:x"), _PATH, 404),
    accepts("an encoded byte that is not UTF-8", _target(b"/%ff"), _PATH, 404),
    accepts("an overlong encoding of a slash", _target(b"/..%c0%afetc"), _PATH, 404),
    accepts("a percent sign alone", _target(b"/livez%"), _PATH, 400, 404, then=Then.ANY),
    accepts("letters after a percent sign", _target(b"/%zz"), _PATH, 400, 404, then=Then.ANY),
    accepts("a parameter in the path", _target(b"/livez;a=b"), _PATH, 404),
    accepts("a path in upper case", _target(b"/LIVEZ"), _PATH, 404),
    accepts("an empty query", _target(b"/livez?"), "RFC 3986, 3.4"),
    accepts("a query with bad escapes", _target(b"/livez?%=%zz&&&=%00"), "RFC 3986, 3.4"),
    accepts("a query of slashes and question marks", _target(b"/livez?/?//../?"), "RFC 3986, 3.4"),
    accepts("a path to a file of the documentation", get(b"/static-offline-docs/../../etc/passwd"), _PATH, 404,
            proxied=Proxied.REPAIRED),
    accepts("an encoded path to a file", get(b"/static-offline-docs/%2e%2e/%2e%2e/etc/passwd"), _PATH, 404,
            proxied=Proxied.REPAIRED),
    accepts("an absolute path to a file", get(b"/static-offline-docs//etc/passwd"), _PATH, 404),
    accepts("a file name with NUL", get(b"/static-offline-docs/a%00.js"), _PATH, 404, proxied=Proxied.REPAIRED),
    accepts("a folder of the documentation", get(b"/static-offline-docs/"), _PATH, 404),
)  # fmt: skip
