"""Methods on every route, trailing slashes, redirects, conditional requests and CORS."""

from typing import Final

from tests.attack.case import Case, Proxied, Then
from tests.attack.cases.build import JSON, LIVE, ROW, accepts, get, head, post
from tests.attack.gateways import TOKEN
from tests.attack.response import Response

_HEAD: Final = "RFC 9110, 9.3.2"
_OPTIONS: Final = "RFC 9110, 9.3.7"
_METHOD: Final = "RFC 9110, 15.5.6"
_REDIRECT: Final = "issue: no redirect leaves the path"
_CORS: Final = "SEPAL_CORS_ORIGINS"
_TRACE: Final = "RFC 9110, 9.3.8"

_READ: Final[dict[bytes, tuple[int, ...]]] = {
    b"/": (200, 307, 308),
    b"/livez": (200,),
    b"/readyz": (200,),
    b"/metrics": (200,),
    b"/model": (200,),
    b"/status": (200,),
    b"/openapi.json": (200,),
    b"/docs": (200,),
    b"/results/x": (404,),
    b"/nowhere": (404,),
    b"/dead-letters": (403,),
    b"/dead-letters/x": (403,),
}
"""The paths that GET reads, and the statuses that it gets."""
_EXISTING: Final = tuple(path for path in (*_READ, b"/predict") if path != b"/nowhere")
_HELD_TYPE: Final = {"content-type": "application/problem+json"}


def _like_get(response: Response) -> str:
    """Check that a response to HEAD gives the size of the body that GET would return, or none."""
    length = response.header("content-length")
    return "Content-Length: 0 in response to HEAD" if length == "0" and response.status == 200 else ""


def _name(path: bytes) -> str:
    return path.decode()


def _proxied(path: bytes) -> Proxied:
    return Proxied.SKIP if path == b"/metrics" else Proxied.SAME


CASES: Final[tuple[Case, ...]] = (
    *(
        accepts(f"GET {_name(path)}", get(path), "RFC 9110, 9.3.1", *statuses, proxied=_proxied(path))
        for path, statuses in _READ.items()
    ),
    *(
        accepts(f"HEAD {_name(path)}", get(path, method=b"HEAD"), _HEAD, *statuses, head=True, check=_like_get,
                proxied=_proxied(path))
        for path, statuses in _READ.items()
    ),
    *(
        accepts(f"OPTIONS {_name(path)}", get(path, method=b"OPTIONS"), _OPTIONS, 200, 204, headers={"allow": "*"},
                proxied=_proxied(path))
        for path in _EXISTING
        if not path.startswith(b"/dead-letters")
    ),
    *(accepts(f"TRACE {_name(path)}", get(path, method=b"TRACE"), _TRACE, 403, 404, 405, 501, then=Then.ANY)
      for path in _READ),
    *(
        accepts(f"a slash after {_name(path)}", get(path + b"/"), _REDIRECT, 404, headers={"location": ""})
        for path in _EXISTING
        if path != b"/"
    ),
    accepts("a slash after POST /predict", post(path=b"/predict/"), _REDIRECT, 404, headers={"location": ""}),
    accepts("two slashes after POST /predict", post(path=b"/predict//"), _REDIRECT, 404, headers={"location": ""},
            proxied=Proxied.REPAIRED),
    accepts("a slash, and the Host of somebody else", head(b"GET /livez/ HTTP/1.1", b"Host: evil.example"), _REDIRECT,
            404, headers={"location": ""}),
    accepts("the root, and the Host of somebody else", head(b"GET / HTTP/1.1", b"Host: evil.example"), _REDIRECT, 200,
            307, 308),
    accepts("the root in absolute form of somebody else",
            head(b"GET http://evil.example/ HTTP/1.1", b"Host: evil.example"), _REDIRECT, 200, 307, 308),
    accepts("the root, and X-Forwarded-Host", get(b"/", b"X-Forwarded-Host: evil.example"), _REDIRECT, 200, 307, 308),
    accepts("the root, and X-Forwarded-Prefix", get(b"/", b"X-Forwarded-Prefix: //evil.example"), _REDIRECT, 200, 307,
            308),
    accepts("the root, and a query", get(b"/?next=//evil.example"), _REDIRECT, 200, 307, 308),
    # Methods
    accepts("GET /predict", get(b"/predict"), _METHOD, 405, headers={"allow": "*"}),
    accepts("HEAD /predict", get(b"/predict", method=b"HEAD"), _METHOD, 405, headers={"allow": "*"}, head=True),
    accepts("PUT /predict", post().replace(b"POST", b"PUT", 1), _METHOD, 405),
    accepts("DELETE /predict", get(b"/predict", method=b"DELETE"), _METHOD, 405),
    accepts("POST /livez", post(path=b"/livez"), _METHOD, 405),
    accepts("DELETE /livez", get(b"/livez", method=b"DELETE"), _METHOD, 405),
    accepts("DELETE /model", get(b"/model", method=b"DELETE"), _METHOD, 405),
    accepts("POST /results/x", post(path=b"/results/x"), _METHOD, 404, 405),
    accepts("POST /openapi.json", post(path=b"/openapi.json"), _METHOD, 405),
    accepts("a method in a header", get(b"/results/x", b"X-HTTP-Method-Override: DELETE"), "RFC 9110, 9", 404),
    accepts("a method in the query", get(b"/livez?_method=DELETE"), "RFC 9110, 9", body=LIVE),
    accepts("OPTIONS of an unknown path", get(b"/nowhere", method=b"OPTIONS"), _OPTIONS, 404),
    accepts("HEAD of an unknown path", get(b"/nowhere", method=b"HEAD"), _HEAD, 404, headers=_HELD_TYPE, head=True),
    *(accepts(f"{method.decode()} /livez", get(b"/livez", method=method), _METHOD, 405, 501, then=Then.ANY)
      for method in (b"PROPFIND", b"MKCOL", b"LOCK", b"REPORT", b"QUERY", b"SEARCH", b"PURGE", b"M-SEARCH", b"LINK")),
    # Conditional requests and ranges
    accepts("the schema has a validator", get(b"/openapi.json"), "RFC 9110, 8.8.3", headers={"etag": "*"}),
    accepts("the documentation has a validator", get(b"/docs"), "RFC 9110, 8.8.3", headers={"etag": "*"}),
    accepts("the schema if it is another", get(b"/openapi.json", b'If-None-Match: "x"'), "RFC 9110, 13.1.2"),
    accepts("the schema if there is none", get(b"/openapi.json", b"If-None-Match: *"), "RFC 9110, 13.1.2", 304),
    accepts("a malformed If-None-Match", get(b"/openapi.json", b'If-None-Match: "x, W/,, "'), "RFC 9110, 13.1.2", 200,
            304),
    accepts("many If-None-Matches", get(b"/openapi.json", b"If-None-Match: " + b'"a", ' * 1000), "RFC 9110, 13.1.2"),
    accepts("a range of the schema", get(b"/openapi.json", b"Range: bytes=0-0"), "RFC 9110, 14.2", 200, 206),
    accepts("overlapping ranges", get(b"/openapi.json", b"Range: bytes=" + b"0-," * 1000), "RFC 9110, 14.2", 200, 206,
            416),
    accepts("ranges of a file of the documentation", get(b"/docs", b"Range: bytes=-0,1-0,x"), "RFC 9110, 14.2", 200,
            206, 400, 416),
    # Content negotiation
    accepts("no media type that there is", get(b"/model", b"Accept: image/png"), "RFC 9110, 12.5.1", 200, 406),
    accepts("a malformed Accept", get(b"/model", b"Accept: ;q=,/;;*/*;q=9,\xff"), "RFC 9110, 12.5.1", 200, 400, 406),
    accepts("an Accept of 4,000 commas", get(b"/model", b"Accept: " + b"," * 4000), "RFC 9110, 12.5.1", 200, 400, 406),
    accepts("an Accept of 1,000 types", get(b"/model", b"Accept: " + b"a/b;q=0.1," * 700), "RFC 9110, 12.5.1", 200,
            406),
    accepts("metrics for a malformed Accept", get(b"/metrics", b"Accept: application/openmetrics-text;version=\xff"),
            "RFC 9110, 12.5.1", proxied=Proxied.SKIP),
    accepts("an Accept-Encoding of nothing", get(b"/livez", b"Accept-Encoding: identity;q=0"), "RFC 9110, 12.5.3", 200,
            406),
    # CORS
    accepts("a request of another origin", get(b"/livez", b"Origin: https://evil.example"), _CORS),
    accepts("a request of the null origin", get(b"/livez", b"Origin: null"), _CORS),
    accepts("a prediction of another origin", post(ROW, b"Origin: https://evil.example"), _CORS),
    accepts("a preflight request",
            get(b"/predict", b"Origin: https://evil.example", b"Access-Control-Request-Method: POST",
                b"Access-Control-Request-Headers: content-type", method=b"OPTIONS"), _CORS, 200, 204, 400, 403, 405),
    accepts("a prediction by a form of another origin",
            post(b'{"data":[[1,2,3,4]],"x":"="}', b"Origin: https://evil.example", media=b"Content-Type: text/plain"),
            _CORS, 415),
    # Operators
    accepts("the operators' token", get(b"/dead-letters", b"Authorization: Bearer " + TOKEN), "SEPAL_OPERATOR_TOKEN",
            proxied=Proxied.SKIP),
    *(
        accepts(f"operators: {name}", get(b"/dead-letters", b"Authorization: " + value), "SEPAL_OPERATOR_TOKEN", 403,
                code="operators-only")
        for name, value in {
            "a wrong token": b"Bearer x",
            "no token": b"Bearer",
            "an empty token": b"Bearer ",
            "a token with a letter more": b"Bearer " + TOKEN + b"x",
            "a token with a letter less": b"Bearer " + TOKEN[:-1],
            "a token beyond ASCII": b"Bearer \xff\xfe",
            "another scheme": b"Basic b3BlbjpzZXNhbWU=",
            "the token without a scheme": TOKEN,
            "a token of 8,000 bytes": b"Bearer " + b"a" * 7900,
        }.items()
    ),
    accepts("the operators' token in the query", get(b"/dead-letters?access_token=" + TOKEN), "RFC 6750, 2.3", 403),
    accepts("the operators' token in a cookie", get(b"/dead-letters", b"Cookie: authorization=Bearer " + TOKEN),
            "SEPAL_OPERATOR_TOKEN", 403),
    *(
        accepts(f"dead letters with {query.decode()}",
                get(b"/dead-letters?" + query, b"Authorization: Bearer " + TOKEN), "RFC 9110, 15.5.21", 422,
                code="invalid-parameter", proxied=Proxied.SKIP)
        for query in (b"limit=0", b"limit=1e3", b"limit=NaN", b"offset=-1", b"offset=99999999999999999999",
                      b"limit=%00", b"offset=" + b"9" * 5000)
    ),
    accepts("a prediction by a form", post(b"data=1", media=b"Content-Type: application/x-www-form-urlencoded"),
            "RFC 9110, 15.5.16", 415),
    accepts("a type of another case", post(media=JSON.upper()), "RFC 9110, 8.3.1"),
)  # fmt: skip
