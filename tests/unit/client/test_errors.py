"""The client's errors by the codes and statuses of the HTTP interface."""

import re
import time
from email.utils import formatdate

import httpx
import pytest

from sepal_client import errors, problems
from sepal_client.errors import CLASS_BY_CODE, GatewayError, GatewayFault, SepalError, error_class
from tests.stack import ROOT

URL = "http://gateway/predict"
_ROW = re.compile(r"^\| ([0-9]{3}) \| `([a-z-]+)` \|", re.MULTILINE)
DOCUMENTED = [(int(status), code) for status, code in _ROW.findall((ROOT / "docs/http.md").read_text())]


def test_every_documented_code_has_a_class() -> None:
    assert len(DOCUMENTED) > 40
    assert {code for _, code in DOCUMENTED} | {"not-found", "method-not-allowed"} == set(CLASS_BY_CODE)


@pytest.mark.parametrize(("status", "code"), DOCUMENTED)
def test_unknown_codes_are_told_by_their_status(status: int, code: str) -> None:
    known, unknown = error_class(code, status), error_class("of-a-later-version", status)
    if issubclass(known, GatewayError) and status not in (404, 409) and code != "idempotency-key-reused":
        assert unknown is known


def test_tree_in_the_docstring_is_that_of_the_classes() -> None:
    drawn = re.findall(r"^([│ ├└─]*)([A-Z]\w+)", (errors.__doc__ or "").partition("\n\n")[2], re.MULTILINE)
    parents: list[str] = []
    tree = set()
    for lines, name in drawn:
        parents = [*parents[: len(lines) // 4], name]
        tree.add(tuple(parents[-2:]))

    def walk(kind: type[Exception]) -> set[tuple[str, ...]]:
        children = kind.__subclasses__()
        return {(kind.__name__, child.__name__) for child in children}.union(*map(walk, children))

    assert tree == walk(SepalError) | {("SepalError",)}


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), (" 0 ", 0), ("-1", None), ("1.5", None), ("soon", None), ("", None), ("²", None)]
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    assert problems.parse_retry_after({"retry-after": value}) == seconds


def test_retry_after_as_a_date_is_counted_from_the_date_of_the_response() -> None:
    now = time.time()
    headers = {"retry-after": formatdate(now - 3590, usegmt=True), "date": formatdate(now - 3600, usegmt=True)}
    assert problems.parse_retry_after(headers) == 10
    assert problems.parse_retry_after({"retry-after": formatdate(now - 60, usegmt=True)}) == 0
    late = problems.parse_retry_after({"retry-after": formatdate(now + 3600, usegmt=True)})
    assert late is not None
    assert 3000 < late <= 3600


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (404, "text/html", b"<html>nginx</html>"),
        (500, "application/json", b'{"detail": "Internal Server Error"}'),
        (502, "application/problem+json", b"no JSON"),
        (500, "application/problem+json", b'["no", "object"]'),
        (410, "application/problem+json", b'{"title": "of another service"}'),
        (200, "text/html", b""),
    ],
)
def test_response_of_something_else_is_a_fault(status: int, kind: str, body: bytes) -> None:
    error = problems.error_from_response(status, httpx.Headers({"Content-Type": kind}), body, URL)
    assert isinstance(error, GatewayFault)
    assert error.code == ""
    assert f"{URL} responded with {status}" in str(error)


def test_error_has_the_correlation_id_and_the_key() -> None:
    headers = httpx.Headers(
        {"Content-Type": problems.PROBLEM_MEDIA_TYPE, "X-Request-ID": "order-66", "Retry-After": "3"}
    )
    error = problems.error_from_response(503, headers, b'{"code": "backlog-full", "detail": "Full."}', URL, "key")
    assert isinstance(error, errors.Unavailable)
    assert (error.request_id, error.idempotency_key, error.retry_after) == ("order-66", "key", 3)
    assert (error.status, error.code, error.detail, str(error)) == (
        503,
        "backlog-full",
        "Full.",
        "Full. (backlog-full)",
    )
