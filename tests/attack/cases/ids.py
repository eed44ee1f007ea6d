"""Ids of every form, and the headers that `POST /predict` reads."""

from typing import Final

from tests.attack.case import Case, Proxied
from tests.attack.cases.build import ROW, accepts, get, post
from tests.attack.gateways import TOKEN

_LOOKUP: Final = "invariant 4: an unknown id is 404"
_PREFER: Final = "RFC 7240, 2"
_DEADLINE: Final = "docs/http.md: Sepal-Deadline"
_KEY: Final = "docs/http.md: Idempotency-Key"
_REQUEST_ID: Final = "docs/http.md: X-Request-ID"

_IDS: Final[dict[str, bytes]] = {
    "one letter": b"x",
    "40 letters": b"a" * 40,
    "39 letters": b"a" * 39,
    "41 letters": b"a" * 41,
    "40 underscores": b"_" * 40,
    "40 equals signs": b"=" * 40,
    "40 letters beyond ASCII": b"%c3%a4" * 40,
    "a space": b"%20",
    "NUL": b"%00",
    "40 letters and NUL": b"a" * 40 + b"%00",
    "a line break": b"%0d%0aX:y",
    "40 letters and a line break": b"a" * 40 + b"%0a",
    "a byte that is not UTF-8": b"%ff%fe",
    "dots": b"...",
    "a wildcard of Redis": b"*",
    "a key of Redis": b"sepal:backlog",
    "a script": b"';return%20redis.call('FLUSHALL')--",
    "markup": b"%3Cscript%3Ealert(1)%3C/script%3E",
    "a template": b"%7B%7B7*7%7D%7D",
    "a format": b"%25s%25n",
    "a negative number": b"-1",
    "7,000 letters": b"a" * 7000,
    "7,000 percent signs": b"%25" * 2300,
    "an emoji": b"%F0%9F%92%A9",
    "a right-to-left override": b"%E2%80%AE",
}

_ODD: Final = (b"%2e%2e", b"..%2flivez", b"%2e%2e%2fmetrics", b"a/../../livez", b"%2f", b"a/b", b"", b";", b"?")

_PREFERENCES: Final[dict[str, bytes]] = {
    "an empty Prefer": b"",
    "commas": b"," * 1000,
    "a negative wait": b"wait=-1",
    "a wait with an exponent": b"wait=1e3",
    "a wait of 30 digits": b"wait=" + b"9" * 30,
    "a wait of 4,301 digits": b"wait=" + b"1" * 4301,
    "a wait that is not a number": b"wait=NaN",
    "a wait beyond ASCII": "wait=２".encode(),
    "an open quote": b'wait="5',
    "backslashes": b'foo="' + b"\\" * 4000,
    "quotes": b'"' * 7001,
    "equals signs": b"=" * 7000,
    "semicolons": b";" * 7000,
    "2,000 preferences": b"a=b, " * 1500,
    "bytes beyond ASCII": b"\xff\xfe=\x80",
    "respond-async with a value": b"respond-async=x",
}

_DEADLINES: Final[dict[str, bytes]] = {
    "empty": b"",
    "zero": b"0",
    "zero with a fraction": b"0.000000",
    "negative": b"-1",
    "with a sign": b"+1",
    "not a number": b"NaN",
    "infinite": b"Infinity",
    "with an exponent": b"1e9",
    "of 30 digits": b"9" * 30,
    "of 5,000 digits": b"9" * 5000,
    "a list": b"5, 6",
    "hexadecimal": b"0x5",
    "with a unit": b"5s",
    "with an underscore": b"1_0",
    "a date": b"Sun, 06 Nov 1994 08:49:37 GMT",
    "in digits beyond ASCII": "５".encode(),
}

_KEYS: Final[dict[str, bytes]] = {
    "empty": b"",
    "of empty quotes": b'""',
    "of 256 letters": b"a" * 256,
    "of 8,000 letters": b"a" * 7900,
    "with an open quote": b'"a',
    "with a quote inside": b'a"b',
    "with a tab": b"a\tb",
    "with a space": b"a b",
    "beyond ASCII": b"\xff",
    "with a wrong escape": b'"\\a"',
    "with a parameter": b'"a";b=c',
}

_NAMES: Final[dict[str, bytes]] = {
    "with a space": b"a b",
    "of 129 letters": b"a" * 129,
    "beyond ASCII": b"\xff",
    "with a tab": b"a\tb",
    "empty": b"",
}

CASES: Final[tuple[Case, ...]] = (
    *(accepts(f"an id of {name}", get(b"/results/" + text), _LOOKUP, 404) for name, text in _IDS.items()),
    *(
        accepts(f"cancel an id of {name}", get(b"/results/" + text, method=b"DELETE"), _LOOKUP, 404)
        for name, text in _IDS.items()
        if text
    ),
    *(
        accepts(f"the path /results/{text.decode()}", get(b"/results/" + text), _LOOKUP, 404, proxied=Proxied.REPAIRED)
        for text in _ODD
    ),
    accepts("an id of the year 1970", get(b"/results/" + b"A" * 40), _LOOKUP, 404, 410),
    accepts("an id with a bad parameter", get(b"/results/x?meta=maybe"), _LOOKUP, 404, 422),
    accepts("a prediction with a bad parameter", post(path=b"/predict?meta=maybe"), "docs/http.md: meta", 422,
            code="invalid-parameter"),
    accepts("a prediction with 2,000 parameters", post(path=b"/predict?" + b"a=b&" * 1900), "docs/http.md: meta"),
    accepts("a prediction with a parameter that is not UTF-8", post(path=b"/predict?meta=%ff"), "docs/http.md: meta",
            422, code="invalid-parameter"),
    *(
        accepts(f"a dead letter with an id of {name}",
                get(b"/dead-letters/" + text, b"Authorization: Bearer " + TOKEN), _LOOKUP, 404, proxied=Proxied.SKIP)
        for name, text in _IDS.items()
    ),
    *(accepts(f"Prefer: {name}", post(ROW, b"Prefer: " + value), _PREFER) for name, value in _PREFERENCES.items()),
    accepts("Prefer: respond-async", post(ROW, b"Prefer: respond-async"), _PREFER, 202,
            headers={"location": "*", "retry-after": "*"}),
    *(
        accepts(f"a deadline that is {name}", post(ROW, b"Sepal-Deadline: " + value), _DEADLINE, 400,
                code="invalid-deadline")
        for name, value in _DEADLINES.items()
    ),
    *(
        accepts(f"an idempotency key {name}", post(ROW, b"Idempotency-Key: " + value), _KEY, 400,
                code="invalid-idempotency-key")
        for name, value in _KEYS.items()
    ),
    *(
        accepts(f"a request id {name}", get(b"/livez", b"X-Request-ID: " + value), _REQUEST_ID,
                headers={"x-request-id": ""}, proxied=Proxied.REPAIRED)
        for name, value in _NAMES.items()
    ),
    accepts("a request id of markup", get(b"/livez", b"X-Request-ID: <b>&\"'"), _REQUEST_ID,
            headers={"x-request-id": "<b>&\"'"}),
    accepts("a request id that a log could take for a line", get(b"/nowhere", b"X-Request-ID: \\n[error]%0aERROR"),
            _REQUEST_ID, 404),
    accepts("a malformed traceparent", post(ROW, b"traceparent: 00-x"), "docs/http.md: traceparent"),
    accepts("X-Forwarded headers", post(ROW, b"X-Forwarded-For: 1.2.3.4, \xff", b"Forwarded: for=\"[::1\";by=;,,"),
            "SEPAL_TRUSTED_PROXIES"),
)  # fmt: skip
