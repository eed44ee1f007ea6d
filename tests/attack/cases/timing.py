"""Slow clients, with limits of about a second: each is refused or closed, but a steady client is not."""

from dataclasses import replace
from typing import Final

from tests.attack.case import STOP_READING, WAIT_UNREAD, AwaitResponses, Case, Drip, On, Proxied, Step, Then, Want
from tests.attack.cases.build import CHUNKED, HOST, JSON, OK, ROW, chunk, get, head, post, responses, stream, want

_HEAD: Final = "SEPAL_HEAD_SECONDS"
_STALL: Final = "SEPAL_STALL_SECONDS"
_IDLE: Final = "SEPAL_IDLE_SECONDS"
_LATE: Final = want(408, code="request-timeout", headers={"connection": "close"})
_OPEN_HEAD: Final = head(b"POST /predict HTTP/1.1", HOST, JSON, b"Content-Length: 20000")
_LONG: Final = b"x" * 1000


def _slow(name: str, steps: tuple[Step, ...], rfc: str, *wants: Want, then: Then = Then.CLOSED) -> Case:
    return responses(name, steps, wants, rfc, then=then, on=On.SMALL, proxied=Proxied.SKIP)


CASES: Final[tuple[Case, ...]] = (
    _slow("a connection that says nothing", (), _HEAD),
    _slow("a connection that sends one byte", (b"G",), _HEAD, _LATE),
    replace(
        _slow("a connection that sends empty lines", (Drip(b"\r\n" * 500),), _HEAD, _LATE, then=Then.ENDED),
        may_be_silent=True,
    ),
    _slow("a request line that is sent slowly", (Drip(b"GET /" + _LONG),), _HEAD, _LATE),
    _slow("a header that is sent slowly", (get()[:-2], Drip(b"X: " + _LONG)), _HEAD, _LATE),
    _slow("headers that are sent slowly", (get()[:-2], Drip(b"X: y\r\n" * 200)), _HEAD, _LATE),
    _slow("a head that stops", (get()[:-4],), _HEAD, _LATE),
    _slow("a head without its last byte", (get()[:-1],), _HEAD, _LATE),
    _slow("a second head that stops", (get(), AwaitResponses(), get()[:-4]), _HEAD, OK, _LATE),
    _slow("a second head that is sent slowly", (get(), AwaitResponses(), Drip(b"GET /" + _LONG)), _HEAD, OK, _LATE),
    _slow("a second head that stops in the packet of the first", (get() + get()[:-4],), _HEAD, OK, _LATE),
    _slow("an idle connection", (get(), AwaitResponses()), _IDLE, OK),
    _slow("an idle connection after a prediction", (post(), AwaitResponses()), _IDLE, OK),
    _slow("an idle connection after a refused body", (post(b"["), AwaitResponses()), _IDLE, want(400)),
    _slow("a body that does not begin", (_OPEN_HEAD,), _STALL, _LATE),
    _slow("a body that stops", (_OPEN_HEAD + ROW,), _STALL, _LATE),
    _slow("a body without its last byte", (post()[:-1],), _STALL, _LATE),
    _slow("a body that is sent slowly", (_OPEN_HEAD, Drip(_LONG)), _STALL, _LATE),
    replace(
        _slow("a body that is awaited after 100", (post(ROW, b"Expect: 100-continue")[: -len(ROW)], AwaitResponses()),
              "RFC 9110, 10.1.1", _LATE),
        interim=(100,),
    ),
    _slow("chunks that are sent slowly", (stream(b""), Drip(chunk(b" ") * 200)), _STALL, _LATE),
    _slow("a chunk that stops", (stream(b"1c\r\n" + ROW[:5]),), _STALL, _LATE),
    _slow("a chunk's size that stops", (stream(chunk() + b"0"),), _STALL, _LATE),
    _slow("an extension that is sent slowly", (stream(b"1c;"), Drip(_LONG)), _STALL, _LATE),
    _slow("a trailer that is sent slowly", (stream(chunk() + b"0\r\nX: "), Drip(_LONG)), _STALL, _LATE),
    _slow("trailers that stop", (stream(chunk() + b"0\r\nX: y\r\n"),), _STALL, _LATE),
    _slow("a body for an unknown path that stops",
          (head(b"POST /nowhere HTTP/1.1", HOST, b"Content-Length: 2000") + ROW,), _STALL, want(404, 408),
          then=Then.ENDED),
    _slow("a body of another type that stops",
          (head(b"POST /predict HTTP/1.1", HOST, b"Content-Length: 2000") + ROW,), _STALL, want(408, 415),
          then=Then.ENDED),
    responses("a body that takes longer than all times together",
            (head(b"POST /predict HTTP/1.1", HOST, JSON, b"Content-Length: %d" % (30_000 + len(ROW))),
             Drip(b" " * 30_000 + ROW, every=0.1, size=1000)), (OK,), "SEPAL_MIN_BYTES_PER_SECOND", on=On.SMALL,
            proxied=Proxied.SKIP),
    responses("chunks that take longer than all times together",
            (head(b"POST /predict HTTP/1.1", HOST, JSON, CHUNKED),
             Drip(chunk(b" " * 993) * 30, every=0.1, size=1000), chunk() + b"0\r\n\r\n"), (OK,),
            "SEPAL_MIN_BYTES_PER_SECOND", on=On.SMALL, proxied=Proxied.SKIP),
    responses("responses that nobody reads", (STOP_READING, get(b"/openapi.json") * 600, WAIT_UNREAD), (), _STALL,
            then=Then.RESET, on=On.SMALL, proxied=Proxied.SKIP),
)  # fmt: skip
