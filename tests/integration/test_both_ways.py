"""`POST /predict` has two ways in, the hot path and FastAPI's own: whatever is sent, they answer the same."""

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
    "fields nobody asked for": (json.dumps({"data": [ROW], "more": 1}).encode(), JSON),
    "a charset": (json.dumps({"data": [ROW]}).encode(), {"Content-Type": "Application/JSON; charset=utf-8"}),
    "a suffix": (json.dumps({"data": [ROW]}).encode(), {"Content-Type": "application/vnd.rows+json"}),
    "a wait": (json.dumps({"data": [ROW]}).encode(), {**JSON, "Prefer": "wait=20"}),
    "an unknown preference": (json.dumps({"data": [ROW]}).encode(), {**JSON, "Prefer": "handling=lenient"}),
    "no wait": (json.dumps({"data": [ROW]}).encode(), {**JSON, "Prefer": "respond-async"}),
    "a wait of nothing": (json.dumps({"data": [ROW]}).encode(), {**JSON, "Prefer": "wait=0"}),
    "another type": (b"1,2,3,4", {"Content-Type": "text/csv"}),
    "no type": (json.dumps({"data": [ROW]}).encode(), {}),
    "no JSON": (b'{"data": [[1', JSON),
    "nothing": (b"", JSON),
    "no UTF-8": (b'{"data": [["\xff"]]}', JSON),
    "a column too few": (json.dumps({"data": [ROW, ROW[1:]]}).encode(), JSON),
    "a text for a number": (json.dumps({"data": [[*ROW[1:], "4"]]}).encode(), JSON),
    "no rows": (b'{"data": []}', JSON),
    "too many rows": (json.dumps({"data": [ROW] * 10_001}).encode(), JSON),
    "too many bytes": (b" " * (8 * 1024 * 1024 + 1), JSON),
}

VARYING_HEADERS = {"date", "location", "server-timing", "content-length", "server"}


def seen(response: httpx.Response) -> dict[str, Any]:
    """What a client sees, less what differs from one request to the next."""
    headers = {name: value for name, value in response.headers.items() if name not in VARYING_HEADERS}
    body = re.sub(rb'"id":"[^"]{40}"', b'"id":""', response.content)
    names = sorted(name for name in response.headers if name not in ("date", "server"))
    return {"status": response.status_code, "headers": headers, "names": names, "body": body}


@pytest.mark.parametrize("case", CASES)
def test_both_ways_in_answer_the_same(iris: Gateway, iris_framework: Gateway, case: str) -> None:
    content, headers = CASES[case]
    hot = iris.client.post("/predict", content=content, headers=headers)
    framework = iris_framework.client.post("/predict", content=content, headers=headers)
    assert seen(hot) == seen(framework)


def test_both_ways_in_refuse_a_body_that_never_said_how_long_it_is(iris: Gateway, iris_framework: Gateway) -> None:
    def endless() -> Any:
        return (b" " * 1024 * 1024 for _ in range(9))

    hot = iris.client.post("/predict", content=endless(), headers=JSON)
    framework = iris_framework.client.post("/predict", content=endless(), headers=JSON)
    assert seen(hot) == seen(framework)
    assert hot.status_code == 413


@pytest.mark.parametrize(("method", "path"), [("GET", "/predict"), ("PUT", "/predict"), ("POST", "/predict/")])
def test_what_is_no_prediction_goes_to_the_framework(
    iris: Gateway, iris_framework: Gateway, method: str, path: str
) -> None:
    hot, framework = (gateway.client.request(method, path) for gateway in (iris, iris_framework))
    assert hot.status_code == framework.status_code
    assert hot.content == framework.content


def test_documentation_describes_the_operation(iris: Gateway) -> None:
    operation = iris.client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert {"200", "202", "400", "413", "415", "422", "503"} <= set(operation["responses"])
