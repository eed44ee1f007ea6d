"""Several requests on one connection: responses keep their order (RFC 9112, 9.3.2)."""

from typing import Final

from tests.attack.case import HALF_CLOSE, AwaitResponses, Case, Proxied, Step, Then
from tests.attack.cases.build import (
    CHUNKED,
    GARBAGE,
    HOST,
    JSON,
    LIVE,
    MALFORMED,
    OK,
    ROW,
    chunk,
    get,
    head,
    post,
    responses,
    stream,
    want,
)

_ORDER: Final = "RFC 9112, 9.3.2"
_CLOSE: Final = "RFC 9112, 9.6"
_LIVE: Final = want(200, body=LIVE)
_PREDICTED: Final = want(200, body='"prediction":[0]')
_MISSING: Final = want(404)
_BOTH: Final = head(b"POST /predict HTTP/1.1", HOST, JSON, b"Content-Length: 28", CHUNKED) + chunk() + b"0\r\n\r\n"
_CLOSES: Final = want(200, headers={"connection": "close"})
_BAD_VERSION: Final = get(version=b"HTTP/2.0")


def _then_garbage(name: str, sends: bytes, *wants: object, garbage: bytes = GARBAGE) -> Case:
    known = tuple(each for each in wants if each is not None)
    return responses(name, sends + garbage, (*known, MALFORMED), _ORDER, then=Then.CLOSED)  # type: ignore[arg-type]


def _cut(whole: bytes, size: int) -> tuple[Step, ...]:
    return tuple(whole[start : start + size] for start in range(0, len(whole), size))


_MIXED: Final = get() + post() + get(b"/nowhere") + stream(chunk() + b"0\r\n\r\n") + get(b"/predict") + get()
_MIXED_WANTS: Final = (_LIVE, _PREDICTED, _MISSING, _PREDICTED, want(405), _LIVE)

CASES: Final[tuple[Case, ...]] = (
    responses("two requests in a packet", get() + get(b"/nowhere"), (_LIVE, _MISSING), _ORDER),
    responses("requests of all kinds in a packet", _MIXED, _MIXED_WANTS, _ORDER),
    responses("requests of all kinds in packets of 7 bytes", _cut(_MIXED, 7), _MIXED_WANTS, _ORDER),
    responses("requests of all kinds in packets of 64 bytes", _cut(_MIXED, 64), _MIXED_WANTS, _ORDER),
    responses("a slow request before a fast one", post(ROW, b"Prefer: wait=20") + get(), (_PREDICTED, _LIVE), _ORDER),
    responses("an empty line between requests", get() + b"\r\n" + get(), (_LIVE, _LIVE), "RFC 9112, 2.2"),
    responses("a line break after a body", post() + b"\r\n" + get(), (_PREDICTED, _LIVE), "RFC 9112, 2.2"),
    responses("100 requests in a packet", get() * 100, (_LIVE,) * 100, _ORDER),
    responses("1,000 requests in a packet", get() * 1000, (_LIVE,) * 1000, _ORDER, proxied=Proxied.SKIP),
    responses("50 predictions in a packet", post() * 50, (_PREDICTED,) * 50, _ORDER),
    responses("a refused body between good ones", post() + post(b"[") + post(), (_PREDICTED, want(400), _PREDICTED),
            _ORDER),
    responses("a refused media type between good ones", post() + post(media=b"Content-Type: text/plain") + post(),
            (_PREDICTED, want(415), _PREDICTED), _ORDER),
    responses("a response without a body between others", get() + get(method=b"OPTIONS") + get(),
            (_LIVE, want(200, 204), _LIVE), _ORDER),
    _then_garbage("garbage after a prediction", post(), _PREDICTED),
    _then_garbage("garbage after a chunked prediction", stream(chunk() + b"0\r\n\r\n"), _PREDICTED),
    _then_garbage("garbage after two predictions", post() * 2, _PREDICTED, _PREDICTED),
    _then_garbage("garbage after 100 requests", get() * 100, *(_LIVE,) * 100),
    _then_garbage("garbage after 20 predictions", post() * 20, *(_PREDICTED,) * 20),
    _then_garbage("garbage after a refused body", post(b"["), want(400, code="malformed-json")),
    _then_garbage("garbage after an unknown path", get(b"/nowhere"), _MISSING),
    _then_garbage("a smuggling request after a prediction", post(), _PREDICTED, garbage=_BOTH),
    _then_garbage("a request without Host after a prediction", post(), _PREDICTED,
                  garbage=head(b"GET /livez HTTP/1.1")),
    _then_garbage("a bad length after a prediction", post(), _PREDICTED,
                  garbage=head(b"POST /predict HTTP/1.1", HOST, JSON, b"Content-Length: x")),
    _then_garbage("a bare LF after a prediction", post(), _PREDICTED, garbage=b"GET /livez HTTP/1.1\n\n"),
    responses("another version after a prediction", post() + _BAD_VERSION,
            (_PREDICTED, want(505, code="http-version-not-supported")), _ORDER, then=Then.CLOSED),
    responses("an unknown method after a prediction", post() + get(method=b"BREW"), (_PREDICTED, want(501)), _ORDER,
            then=Then.CLOSED),
    responses("a large body after a prediction",
            post() + head(b"POST /predict HTTP/1.1", HOST, JSON, b"Content-Length: 9999999"),
            (_PREDICTED, want(413, code="body-too-large")), _ORDER, then=Then.CLOSED),
    responses("a good request after garbage", GARBAGE + get(), (MALFORMED,), "RFC 9112, 9.3", then=Then.CLOSED),
    responses("good requests after a smuggling one", _BOTH + get() * 10, (MALFORMED,), "RFC 9112, 6.3",
            then=Then.CLOSED, proxied=Proxied.REPAIRED),
    responses("a good request after another version", _BAD_VERSION + get(), (want(505),), "RFC 9112, 9.3",
            then=Then.CLOSED),
    responses("a request after Connection: close", get(b"/livez", b"Connection: close") + get(), (_CLOSES,), _CLOSE,
            then=Then.CLOSED, proxied=Proxied.REPAIRED),
    responses("a prediction after Connection: close", post(ROW, b"Connection: close") + post(), (_CLOSES,), _CLOSE,
            then=Then.CLOSED, proxied=Proxied.REPAIRED),
    responses("garbage after Connection: close", get(b"/livez", b"Connection: close") + GARBAGE, (_CLOSES,), _CLOSE,
            then=Then.CLOSED, proxied=Proxied.REPAIRED),
    responses("two requests, and the second closes", get() + get(b"/livez", b"Connection: close"), (OK, _CLOSES),
            _CLOSE, then=Then.CLOSED, proxied=Proxied.REPAIRED),
    responses("a request after one of HTTP/1.0", get(version=b"HTTP/1.0") + get(), (OK,), "RFC 9112, 9.3",
            then=Then.CLOSED, proxied=Proxied.REPAIRED),
    responses("three requests and a half-close", (get() + post() + get(), HALF_CLOSE), (_LIVE, _PREDICTED, _LIVE),
            _CLOSE, then=Then.CLOSED, proxied=Proxied.SKIP),
    responses("20 predictions and a half-close", (post() * 20, HALF_CLOSE), (_PREDICTED,) * 20, _CLOSE,
            then=Then.CLOSED, proxied=Proxied.SKIP),
    responses("a prediction, half a body and a half-close", (post() + post()[:-5], HALF_CLOSE), (_PREDICTED, MALFORMED),
            _CLOSE, then=Then.CLOSED, proxied=Proxied.SKIP),
    responses("a prediction, half a head and a half-close", (post() + b"GET /livez HT", HALF_CLOSE),
            (_PREDICTED, want(400, 408)), _CLOSE, then=Then.CLOSED, proxied=Proxied.SKIP),
    responses("half a request before the response of another", (get() + post()[:-5], AwaitResponses(), post()[-5:]),
            (_LIVE, _PREDICTED), _ORDER),
    responses("one request after another", tuple(step for n in range(1, 6) for step in (get(), AwaitResponses(n))),
            (_LIVE,) * 5, _ORDER),
)  # fmt: skip
