"""The hot path and FastAPI give the same response to each `POST /predict`."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.stack import Gateway

ROW = [4.8, 3, 1.4, 0.3]
JSON = {"Content-Type": "application/json"}

CASES: dict[str, tuple[bytes, dict[str, str]]] = {
    "one row": (json.dumps({"data": [ROW]}).encode(), JSON),
    "more rows than a batch takes": (json.dumps({"data": [ROW] * 3000}).encode(), JSON),
    "an unknown member": (json.dumps({"data": [ROW], "more": 1}).encode(), JSON),
    "a charset": (json.dumps({"data": [ROW]}).encode(), {"Content-Type": "Application/JSON; charset=utf-8"}),
    "a suffix": (json.dumps({"data": [ROW]}).encode(), {"Content-Type": "application/vnd.rows+json"}),
    "a wait": (json.dumps({"data": [ROW]}).encode(), {**JSON, "Prefer": "wait=20"}),
    "an unknown preference": (json.dumps({"data": [ROW]}).encode(), {**JSON, "Prefer": "handling=lenient"}),
    "no wait": (json.dumps({"data": [ROW]}).encode(), {**JSON, "Prefer": "respond-async"}),
    "a wait of 0": (json.dumps({"data": [ROW]}).encode(), {**JSON, "Prefer": "wait=0"}),
    "another content type": (b"1,2,3,4", {"Content-Type": "text/csv"}),
    "no content type": (json.dumps({"data": [ROW]}).encode(), {}),
    "truncated JSON": (b'{"data": [[1', JSON),
    "an empty body": (b"", JSON),
    "not UTF-8": (b'{"data": [["\xff"]]}', JSON),
    "a column too few": (json.dumps({"data": [ROW, ROW[1:]]}).encode(), JSON),
    "a text instead of a number": (json.dumps({"data": [[*ROW[1:], "4"]]}).encode(), JSON),
    "no rows": (b'{"data": []}', JSON),
    "too many rows": (json.dumps({"data": [ROW] * 10_001}).encode(), JSON),
}

VARYING_HEADERS = {"date", "location", "server-timing", "content-length", "server"}


def comparable(response: httpx.Response) -> dict[str, Any]:
    """Return what a client gets, without the parts that differ between equal requests."""
    headers = {name: value for name, value in response.headers.items() if name not in VARYING_HEADERS}
    body = re.sub(rb'"id":"[^"]{40}"', b'"id":""', response.content)
    names = sorted(name for name in response.headers if name not in ("date", "server"))
    return {"status": response.status_code, "headers": headers, "names": names, "body": body}


@pytest.mark.parametrize("case", CASES)
def test_both_answer_alike(iris: Gateway, iris_framework: Gateway, case: str) -> None:
    content, headers = CASES[case]
    hot = iris.client.post("/predict", content=content, headers=headers)
    framework = iris_framework.client.post("/predict", content=content, headers=headers)
    assert comparable(hot) == comparable(framework)


@pytest.mark.parametrize(("method", "path"), [("GET", "/predict"), ("PUT", "/predict"), ("POST", "/predict/")])
def test_other_requests_go_to_the_framework(iris: Gateway, iris_framework: Gateway, method: str, path: str) -> None:
    hot, framework = (gateway.client.request(method, path) for gateway in (iris, iris_framework))
    assert hot.status_code == framework.status_code
    assert hot.content == framework.content


def test_documentation_describes_the_operation(iris: Gateway) -> None:
    operation = iris.client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert {"200", "202", "400", "413", "415", "422", "503"} <= set(operation["responses"])
