"""Checks that apply to every response: the rules of HTTP, and that nothing about the implementation is disclosed."""

import re
from collections.abc import Iterator
from typing import Final

from tests.attack.case import Case, Proxied, Then, Want
from tests.attack.response import Response
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
    faults = [f"the response is not HTTP: {exchange.fault}"] if exchange.fault else []
    if proxied and (case.proxied is Proxied.REPAIRED or all(want.is_refusal for want in case.wants)):
        return [*faults, *_proxied_faults(case, exchange)]
    if case.may_be_silent and not exchange.responses and exchange.end is not End.NOT:
        return faults
    got = ", ".join(str(response) for response in exchange.responses) or "no response"
    if len(exchange.responses) != len(case.wants):
        faults.append(f"got {got}: expected {len(case.wants)} responses {_format_wants(case.wants)}")
    for number, (want, response) in enumerate(zip(case.wants, exchange.responses, strict=False), 1):
        faults += [f"response {number} ({response}): {fault}" for fault in _response_faults(want, response, proxied)]
    interim = tuple(response.status for response in exchange.interim)
    if interim != case.interim and not proxied:
        faults.append(f"got the interim responses {interim}: expected {case.interim}")
    for response in exchange.responses:
        faults += [f"{response}: {fault}" for fault in general_faults(response, proxied=proxied)]
    return [*faults, *_end_faults(case.then, exchange, proxied)]


def general_faults(response: Response, *, proxied: bool = False) -> Iterator[str]:
    """Check the rules that apply to every response of the gateway."""
    if response.status >= 500 and response.status not in DESIGNED:
        yield "not a designed server error"
    yield from _header_faults(response)
    if not proxied:
        yield from _disclosures(response)
        yield from _security_faults(response)
        if response.status >= 400:
            yield from _problem_faults(response)


def _header_faults(response: Response) -> Iterator[str]:
    if response.header("date") is None:
        yield "without Date (RFC 9110, 6.6.1)"
    if response.version != "1.1":
        yield f"its version is {response.version}: a server sends its own highest version (RFC 9110, 2.5)"
    if response.status == 204 and response.header("content-length") is not None:
        yield "204 with Content-Length (RFC 9110, 8.6)"
    if response.status == 405 and not response.header("allow"):
        yield "405 without Allow (RFC 9110, 15.5.6)"
    if response.status == 503 and response.header("retry-after") is None:
        yield "503 without Retry-After"
    location = response.header("location")
    if location is not None and (not location.startswith("/") or location.startswith("//")):
        yield f"Location leaves the path: {location}"


def _response_faults(want: Want, response: Response, proxied: bool) -> Iterator[str]:
    if response.status not in want.statuses:
        yield f"expected {'/'.join(map(str, want.statuses))} {want.code}".strip()
        return
    content = response.json()
    code = content.get("code", "") if isinstance(content, dict) else ""
    if want.code and code != want.code and (response.body or not proxied):
        yield f"expected the code {want.code}"
    if want.body and want.body not in response.body.decode("utf-8", "replace"):
        yield f"the body does not contain {want.body!r}"
    for name, value in want.headers.items():
        got = response.header(name)
        if (got is None) != (value == "") or value not in ("", "*", got):
            yield f"{name} is {got!r}: expected {value!r}"
    if want.check is not None and (fault := want.check(response)):
        yield fault


def _disclosures(response: Response) -> Iterator[str]:
    for name, value in response.headers:
        if name in ("server", "x-powered-by", "via") and _VERSION.search(value):
            yield f"{name} tells a version: {value}"
    is_public = response.status < 400  # the card and the metrics name versions on purpose
    if not is_public and (told := _TOLD.search(response.body.decode("utf-8", "replace"))):
        yield f"the body tells {told.group()!r}"


def _security_faults(response: Response) -> Iterator[str]:
    if response.header("x-content-type-options") != "nosniff":
        yield "without X-Content-Type-Options: nosniff"
    is_page = (response.header("content-type") or "").startswith("text/html")
    if is_page and not response.header("content-security-policy"):
        yield "a page without Content-Security-Policy"
    if any(name.startswith("access-control-") for name, _ in response.headers):
        yield "a CORS header, though CORS is off"


def _problem_faults(response: Response) -> Iterator[str]:
    if response.header("content-type") != PROBLEM:
        yield f"an error of type {response.header('content-type')}: expected {PROBLEM}"
        return
    content = response.json()
    if response.body and (not isinstance(content, dict) or not content.keys() >= _MEMBERS):
        yield "the problem lacks members"
    elif response.body and content["status"] != response.status:
        yield f"the problem's status is {content['status']}"


def _end_faults(then: Then, exchange: Exchange, proxied: bool) -> Iterator[str]:
    got = exchange.end
    wanted = {Then.OPEN: {End.NOT}, Then.CLOSED: {End.CLOSED}, Then.RESET: {End.RESET}}
    if then is not Then.ANY and got not in wanted.get(then, {End.CLOSED, End.RESET}) and not proxied:
        yield f"the connection is {got.value}: expected {then.value}"
    last = exchange.responses[-1] if exchange.responses else None
    if got is End.NOT and last is not None and last.closes:
        yield "Connection: close, and the connection stays open (RFC 9112, 9.6)"


def _proxied_faults(case: Case, exchange: Exchange) -> Iterator[str]:
    """Check that a proxy refused or repaired what the gateway would refuse; extra responses are a fault."""
    if len(exchange.responses) > len(case.wants):
        yield f"{len(exchange.responses)} responses to {len(case.wants)} requests"
    for response, want in zip(exchange.responses, case.wants, strict=False):
        allowed = _REFUSALS | set(want.statuses) if want.is_refusal else set(want.statuses)
        if case.proxied is not Proxied.REPAIRED and response.status not in allowed:
            yield f"got {response}: expected a refusal {_format_wants(case.wants)}"
        elif response.status >= 500 and response.status not in DESIGNED | {502}:
            yield f"got {response}: not a designed server error"


def _format_wants(wants: tuple[Want, ...]) -> str:
    return ", ".join(f"{'/'.join(map(str, want.statuses))} {want.code}".strip() for want in wants) or "(none)"
