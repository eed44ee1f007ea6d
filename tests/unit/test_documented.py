"""`tests.documented` detects requests and responses that the OpenAPI schema does not describe."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import httpx
import pytest

from tests.documentation import Undocumented
from tests.documented import AsyncDocumentedTransport, DocumentedTransport

_OF_A_RESULT: Final = {"properties": {"id": {"type": "string"}, "status": {"const": "succeeded"}}}
SCHEMA: Final[dict[str, Any]] = {
    "paths": {
        "/things/{thing_id}": {
            "get": {
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 0}},
                    {"name": "state", "in": "query", "schema": {"type": "array", "items": {"enum": ["a", "b"]}}},
                    {"$ref": "#/components/parameters/Prefer"},
                ],
                "responses": {
                    "200": {
                        "headers": {"ETag": {}},
                        "content": {
                            "application/json": {
                                "schema": {
                                    "anyOf": [
                                        {"$ref": "#/components/schemas/Result"},
                                        {"properties": {"status": {"const": "failed"}, "error": {}}},
                                    ]
                                }
                            },
                            "text/csv": {},
                        },
                    },
                    "204": {},
                    "404": {"$ref": "#/components/responses/Problem"},
                },
            },
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Body"}},
                        "text/csv": {"schema": {}},
                    }
                },
                "responses": {"202": {}},
            },
        },
        "/events": {
            "get": {
                "responses": {
                    "200": {
                        "content": {
                            "text/event-stream": {
                                "itemSchema": {
                                    "properties": {"data": {"contentSchema": {"$ref": "#/components/schemas/Result"}}}
                                }
                            }
                        }
                    }
                }
            }
        },
    },
    "components": {
        "parameters": {"Prefer": {"name": "Prefer", "in": "header", "schema": {"type": "string", "maxLength": 9}}},
        "schemas": {
            "Body": {"properties": {"data": {}}, "additionalProperties": False},
            "Result": {
                "allOf": [_OF_A_RESULT],
                "required": ["status"],
                "properties": {
                    "free": {"type": "object"},
                    "rows": {"type": "array", "prefixItems": [{"properties": {"a": {}}}], "items": {"type": "object"}},
                    "named": {"additionalProperties": {"properties": {"n": {}}}},
                },
            },
        },
        "responses": {
            "Problem": {"content": {"application/problem+json": {"schema": {"properties": {"code": {}}}}}},
        },
    },
}
Respond = Callable[[httpx.Request], httpx.Response]


def client_of(respond: Respond) -> httpx.Client:
    return httpx.Client(
        transport=DocumentedTransport(httpx.MockTransport(respond), SCHEMA), base_url="http://sepal", verify=False
    )


def answer(status: int = 200, **content: Any) -> Respond:
    return lambda _: httpx.Response(status, **content)


def seen(value: Any) -> Any:
    """Return what a client sees of a result."""
    with client_of(answer(json=value)) as client:
        return client.get("/things/1").json()


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        pytest.param("GET", "/nothing", {}, id="path"),
        pytest.param("GET", "/things/1/2", {}, id="longer path"),
        pytest.param("PUT", "/things/1", {}, id="method"),
        pytest.param("GET", "/things/1", {"params": {"offset": 1}}, id="parameter"),
        pytest.param("GET", "/things/1", {"params": {"limit": -1}}, id="value of a parameter"),
        pytest.param("GET", "/things/1", {"params": {"limit": "x"}}, id="type of a parameter"),
        pytest.param("GET", "/things/1?limit=1&limit=2", {}, id="repeated parameter"),
        pytest.param("GET", "/things/1", {"params": {"state": ["a", "c"]}}, id="one of several values"),
        pytest.param("GET", "/things/1", {"headers": {"X-Secret": "1"}}, id="header"),
        pytest.param("GET", "/things/1", {"headers": {"Prefer": "respond-async"}}, id="value of a header"),
        pytest.param("GET", "/things/1", {"json": {}}, id="body"),
        pytest.param("POST", "/things/1", {"json": {"data": [], "hint": 1}}, id="member of the body"),
        pytest.param("POST", "/things/1", {"content": b"x", "headers": {"Content-Type": "a/b"}}, id="type of the body"),
    ],
)
def test_undocumented_request_is_not_sent(method: str, path: str, options: Any) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        raise AssertionError("it was sent")

    with client_of(respond) as client, pytest.raises(Undocumented):
        client.request(method, path, **options)


def test_documented_requests_are_sent_unchanged() -> None:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        request.read()
        requests.append(request)
        return httpx.Response(202 if request.method == "POST" else 204)

    with client_of(respond) as client:
        client.get("/things/1?limit=3&state=a&state=b", headers={"Prefer": "wait=1", "Range": "bytes=0-1"})
        client.head("/things/1")
        client.post("/things/1", json={"data": [1]}, headers={"Accept": "text/csv"})
        client.post("/things/1", content=iter([b"a", b"b"]), headers={"Content-Type": "text/csv; charset=utf-8"})
    assert [request.url.query for request in requests] == [b"limit=3&state=a&state=b", b"", b"", b""]
    assert [request.content for request in requests] == [b"", b"", b'{"data":[1]}', b"ab"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"status": "succeeded", "id": "1", "secret": 1}, {"status": "succeeded", "id": "1"}),
        ({"status": "failed", "error": 1, "id": "1"}, {"status": "failed", "error": 1}),
        (
            {"status": "succeeded", "free": {"any": {"thing": 1}}},
            {"status": "succeeded", "free": {"any": {"thing": 1}}},
        ),
        (
            {"status": "succeeded", "rows": [{"a": 1, "b": 1}, {"c": 1}]},
            {"status": "succeeded", "rows": [{"a": 1}, {"c": 1}]},
        ),
        (
            {"status": "succeeded", "named": {"x": {"n": 1, "m": 1}}},
            {"status": "succeeded", "named": {"x": {"n": 1}}},
        ),
    ],
)
def test_client_sees_documented_members_alone(value: Any, expected: Any) -> None:
    assert seen(value) == expected


def test_value_that_no_schema_describes_fails_the_test() -> None:
    with pytest.raises(Undocumented):
        seen({"status": "lost"})


@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(answer(200, content=b"x", headers={"Content-Type": "image/png"}), id="media type"),
        pytest.param(answer(418, json={}), id="status"),
    ],
)
def test_undocumented_response_fails_the_test(respond: Respond) -> None:
    with client_of(respond) as client, pytest.raises(Undocumented):
        client.get("/things/1")


def test_problem_is_seen_with_its_type_and_its_documented_members() -> None:
    content, headers = json.dumps({"code": "gone", "hint": 1}), {"Content-Type": "application/problem+json"}
    with client_of(answer(404, content=content, headers=headers)) as client:
        response = client.get("/things/1")
    assert response.json() == {"code": "gone"}
    assert response.headers["Content-Type"] == "application/problem+json"


def test_undocumented_headers_of_a_response_are_not_seen() -> None:
    headers = {"ETag": '"1"', "X-Secret": "1", "Content-Type": "text/csv"}
    with client_of(answer(200, content=b"a\n", headers=headers)) as client:
        response = client.get("/things/1")
    assert (response.content, response.headers["ETag"]) == (b"a\n", '"1"')
    assert "X-Secret" not in response.headers


class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in two parts, and says when it is closed."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


def events() -> tuple[Parts, Respond]:
    stream = Parts(
        b'id: 1\nevent: progress\ndata: {"status":"succ', b'eeded","id":"1","secret":2}\n\n: comment\n\nid: 2'
    )
    return stream, lambda _: httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=stream)


EVENTS_SEEN: Final = b'id: 1\nevent: progress\ndata: {"status": "succeeded", "id": "1"}\n\n: comment\n\nid: 2'


def test_events_are_seen_as_they_arrive_with_their_documented_members() -> None:
    stream, respond = events()
    with client_of(respond) as client, client.stream("GET", "/events") as response:
        assert b"".join(response.iter_raw()) == EVENTS_SEEN
    assert stream.is_closed


async def test_asynchronous_client_is_held_to_the_same() -> None:
    stream, respond = events()

    def respond_to(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/events":
            return respond(request)
        return httpx.Response(200, json={"status": "succeeded", "secret": 1})

    transport = AsyncDocumentedTransport(httpx.MockTransport(respond_to), SCHEMA)
    async with httpx.AsyncClient(transport=transport, base_url="http://sepal", verify=False) as client:
        assert (await client.get("/things/1")).json() == {"status": "succeeded"}
        async with client.stream("GET", "/events") as response:
            assert b"".join([part async for part in response.aiter_raw()]) == EVENTS_SEEN
        with pytest.raises(Undocumented):
            await client.post("/things/1", json={"hint": 1})
    assert stream.is_closed


def test_response_that_is_refused_is_closed() -> None:
    stream = Parts(b"x")
    with (
        client_of(lambda _: httpx.Response(200, headers={"Content-Type": "a/b"}, stream=stream)) as client,
        pytest.raises(Undocumented),
    ):
        client.get("/things/1")
    assert stream.is_closed
