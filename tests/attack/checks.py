"""Checks that apply to every response: the rules of HTTP, and that nothing about the implementation is disclosed."""

import re
from collections.abc import Iterator
from typing import Final

from tests.attack.answer import Answer
from tests.attack.case import Case, Proxied, Then, Want
from tests.attack.wire import End, Exchange

DESIGNED: Final = frozenset({501, 503, 504, 505})
"""The server errors that a client can cause by design."""
PROBLEM: Final = "application/problem+json"
_MEMBERS: Final = {"type", "title", "status", "code", "detail"}
_REFUSALS: Final = frozenset({400, 408, 411, 413, 414, 415, 417, 421, 431, 501, 502, 505})
_TOLD: Final = re.compile(
    r"Traceback \(|File \"|\.py\b|/usr/|/site-packages|/home/|\b[A-Z]\w+(Error|Exception)\b"
    r"|\bat 0x|uvicorn|starlette|fastapi|httptools|uvloop|pydantic|msgspec|llhttp",
    re.IGNORECASE,
)
_VERSION: Final = re.compile(r"/\d|\d\.\d")


def faults_of(case: Case, exchange: Exchange, *, proxied: bool) -> list[str]:
    """Compare the responses with the expectations of the case; return all differences."""
    faults = [f"the answer is not HTTP: {exchange.fault}"] if exchange.fault else []
    if proxied and (case.proxied is Proxied.REPAIRED or all(want.is_refusal for want in case.wants)):
        return [*faults, *_proxied_faults(case, exchange)]
    if case.may_be_silent and not exchange.answers and exchange.end is not End.NOT:
        return faults
    got = ", ".join(str(answer) for answer in exchange.answers) or "no answer"
    if len(exchange.answers) != len(case.wants):
        faults.append(f"got {got}: expected {len(case.wants)} answers {_shown(case.wants)}")
    for number, (want, answer) in enumerate(zip(case.wants, exchange.answers, strict=False), 1):
        faults += [f"answer {number} ({answer}): {fault}" for fault in _answer_faults(want, answer, proxied)]
    interim = tuple(answer.status for answer in exchange.interim)
    if interim != case.interim and not proxied:
        faults.append(f"got the interim responses {interim}: expected {case.interim}")
    for answer in exchange.answers:
        faults += [f"{answer}: {fault}" for fault in general_faults(answer, proxied=proxied)]
    return [*faults, *_end_faults(case.then, exchange, proxied)]


def general_faults(answer: Answer, *, proxied: bool = False) -> Iterator[str]:
    """Check the rules that apply to every response of the gateway."""
    if answer.status >= 500 and answer.status not in DESIGNED:
        yield "not a designed server error"
    yield from _header_faults(answer)
    if not proxied:
        yield from _told(answer)
        yield from _security(answer)
        if answer.status >= 400:
            yield from _problem_faults(answer)


def _header_faults(answer: Answer) -> Iterator[str]:
    if answer.header("date") is None:
        yield "without Date (RFC 9110, 6.6.1)"
    if answer.version != "1.1":
        yield f"its version is {answer.version}: a server sends its own highest version (RFC 9110, 2.5)"
    if answer.status == 204 and answer.header("content-length") is not None:
        yield "204 with Content-Length (RFC 9110, 8.6)"
    if answer.status == 405 and not answer.header("allow"):
        yield "405 without Allow (RFC 9110, 15.5.6)"
    if answer.status == 503 and answer.header("retry-after") is None:
        yield "503 without Retry-After"
    location = answer.header("location")
    if location is not None and (not location.startswith("/") or location.startswith("//")):
        yield f"Location leaves the path: {location}"


def _answer_faults(want: Want, answer: Answer, proxied: bool) -> Iterator[str]:
    if answer.status not in want.statuses:
        yield f"expected {'/'.join(map(str, want.statuses))} {want.code}".strip()
        return
    content = answer.json()
    code = content.get("code", "") if isinstance(content, dict) else ""
    if want.code and code != want.code and (answer.body or not proxied):
        yield f"expected the code {want.code}"
    if want.body and want.body not in answer.body.decode("utf-8", "replace"):
        yield f"the body does not contain {want.body!r}"
    for name, value in want.headers.items():
        got = answer.header(name)
        if (got is None) != (value == "") or value not in ("", "*", got):
            yield f"{name} is {got!r}: expected {value!r}"
    if want.check is not None and (fault := want.check(answer)):
        yield fault


def _told(answer: Answer) -> Iterator[str]:
    for name, value in answer.headers:
        if name in ("server", "x-powered-by", "via") and _VERSION.search(value):
            yield f"{name} tells a version: {value}"
    is_public = answer.status < 400  # the card and the metrics name versions on purpose
    if not is_public and (told := _TOLD.search(answer.body.decode("utf-8", "replace"))):
        yield f"the body tells {told.group()!r}"


def _security(answer: Answer) -> Iterator[str]:
    if answer.header("x-content-type-options") != "nosniff":
        yield "without X-Content-Type-Options: nosniff"
    if (answer.header("content-type") or "").startswith("text/html") and not answer.header("content-security-policy"):
        yield "a page without Content-Security-Policy"
    if any(name.startswith("access-control-") for name, _ in answer.headers):
        yield "a CORS header, though CORS is off"


def _problem_faults(answer: Answer) -> Iterator[str]:
    if answer.header("content-type") != PROBLEM:
        yield f"an error of type {answer.header('content-type')}: expected {PROBLEM}"
        return
    content = answer.json()
    if answer.body and (not isinstance(content, dict) or not content.keys() >= _MEMBERS):
        yield "the problem lacks members"
    elif answer.body and content["status"] != answer.status:
        yield f"the problem's status is {content['status']}"


def _end_faults(then: Then, exchange: Exchange, proxied: bool) -> Iterator[str]:
    got = exchange.end
    wanted = {Then.OPEN: {End.NOT}, Then.CLOSED: {End.CLOSED}, Then.RESET: {End.RESET}}
    if then is not Then.ANY and got not in wanted.get(then, {End.CLOSED, End.RESET}) and not proxied:
        yield f"the connection is {got.value}: expected {then.value}"
    last = exchange.answers[-1] if exchange.answers else None
    if got is End.NOT and last is not None and last.closes:
        yield "Connection: close, and the connection stays open (RFC 9112, 9.6)"


def _proxied_faults(case: Case, exchange: Exchange) -> Iterator[str]:
    """Check that a proxy refused, or repaired, what the gateway would refuse: never more answers than requests."""
    if len(exchange.answers) > len(case.wants):
        yield f"{len(exchange.answers)} answers to {len(case.wants)} requests"
    for answer, want in zip(exchange.answers, case.wants, strict=False):
        allowed = _REFUSALS | set(want.statuses) if want.is_refusal else set(want.statuses)
        if case.proxied is not Proxied.REPAIRED and answer.status not in allowed:
            yield f"got {answer}: expected a refusal {_shown(case.wants)}"
        elif answer.status >= 500 and answer.status not in DESIGNED | {502}:
            yield f"got {answer}: not a designed server error"


def _shown(wants: tuple[Want, ...]) -> str:
    return ", ".join(f"{'/'.join(map(str, want.statuses))} {want.code}".strip() for want in wants) or "(none)"
