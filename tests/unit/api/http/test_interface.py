"""Responses to HEAD and OPTIONS on every path, the headers of every response, the documentation and CORS.

The gateway runs in this process, without its lifespan, its broker and its workers.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast
from unittest.mock import patch

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Message

from api.app import create_app, create_hot_path
from api.http import openapi
from api.http.hot_path import HotPath
from api.http.methods import HeadAndOptions
from api.settings import GatewaySettings
from tests.unit.api.http.cards import CARDS

PATHS = {
    "/": "GET, HEAD, OPTIONS",
    "/predict": "POST, OPTIONS",
    "/predictions": "GET, HEAD, POST, OPTIONS",
    "/results/any": "GET, HEAD, DELETE, OPTIONS",
    "/results/any/events": "GET, HEAD, OPTIONS",
    "/model": "GET, HEAD, OPTIONS",
    "/status": "GET, HEAD, OPTIONS",
    "/livez": "GET, HEAD, OPTIONS",
    "/readyz": "GET, HEAD, OPTIONS",
    "/metrics": "GET, HEAD, OPTIONS",
    "/dead-letters": "GET, HEAD, OPTIONS",
    "/dead-letters/any": "GET, HEAD, DELETE, OPTIONS",
    "/dead-letters/any/replay": "POST, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
    "/redoc": "GET, HEAD, OPTIONS",
    "/static-offline-docs/redoc.standalone.js": "GET, HEAD, OPTIONS",
    "/static-offline-docs/swagger-ui.css": "GET, HEAD, OPTIONS",
}
UNKNOWN = ["/nowhere", "/livez/", "/predict/", "/docs/", "/static-offline-docs/none.js", "/static-offline-docs/a%00b"]
ORIGIN = "https://a.example"
OTHER = "https://b.example"


@pytest.fixture(autouse=True)
def without_broker() -> Iterator[None]:
    """Let the gateway know no model, without looking for a broker."""
    with patch("api.cluster.status.ClusterStatus.refresh"):
        yield


@pytest.fixture(scope="module")
def gateway() -> HotPath:
    return create_hot_path(GatewaySettings())


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url="http://sepal")


@pytest.fixture
async def client(gateway: HotPath) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(gateway) as client:
        yield client


async def sent_by(app: ASGIApp, method: str, path: str) -> list[Message]:
    """Return the ASGI messages of a response."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(dict(message))

    requests: Iterator[Message] = iter([{"type": "http.request"}])

    async def receive() -> Message:
        for request in requests:
            return request
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], "client": ("::1", 1)}
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("path", PATHS)
async def test_options_lists_the_methods(client: httpx.AsyncClient, path: str) -> None:
    response = await client.options(path)
    assert response.status_code == 204
    assert response.content == b""
    assert response.headers["Allow"] == PATHS[path]


async def test_options_of_the_server_lists_every_method(gateway: HotPath) -> None:
    start, _ = await sent_by(gateway, "OPTIONS", "*")
    assert start["status"] == 204
    listed = dict(start["headers"])[b"allow"].decode().split(", ")
    assert set(listed) == {method for allowed in PATHS.values() for method in allowed.split(", ")}


def test_every_route_is_tested(gateway: HotPath) -> None:
    methods = cast(HeadAndOptions, gateway.framework)
    templates = {
        re.sub(r"\{[^}]*\}", "any", context.path or "") for context in iter_route_contexts(methods._app.routes)
    }
    assert templates == (set(PATHS) - {"/static-offline-docs/swagger-ui.css"}) | {"/static-offline-docs"}


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
async def test_unknown_path_is_not_found_and_redirects_nowhere(
    client: httpx.AsyncClient, path: str, method: str
) -> None:
    response = await client.request(method, path, headers={"Host": "evil.example"})
    assert response.status_code == 404
    assert "Location" not in response.headers
    assert method == "HEAD" or response.json()["code"] == "not-found"


@pytest.mark.parametrize("path", [path for path, allowed in PATHS.items() if "GET" not in allowed])
async def test_refused_method_is_told_the_others(client: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "HEAD", "PATCH", "TRACE", "ANY"):
        response = await client.request(method, path)
        assert response.status_code == 405
        assert response.headers["Allow"] == PATHS[path]


async def test_redirect_of_the_root_does_not_name_a_host(client: httpx.AsyncClient) -> None:
    response = await client.get("/", headers={"Host": "evil.example"})
    assert response.headers["Location"] == "/docs"


@pytest.mark.parametrize("path", ["/livez", "/status", "/metrics", "/openapi.json", "/docs", "/redoc", *UNKNOWN])
async def test_head_has_the_headers_of_get_and_no_body(gateway: HotPath, path: str) -> None:
    get_start, *_ = await sent_by(gateway, "GET", path)
    start, *parts = await sent_by(gateway, "HEAD", path)
    assert start["status"] == get_start["status"]
    assert [name for name, _ in start["headers"]] == [name for name, _ in get_start["headers"]]
    assert path == "/metrics" or start["headers"] == get_start["headers"]  # the metrics count the first request
    assert b"".join(part["body"] for part in parts) == b""


async def test_head_of_a_large_file_sends_none_of_it(gateway: HotPath) -> None:
    start, *parts = await sent_by(gateway, "HEAD", "/static-offline-docs/swagger-ui-bundle.js")
    assert int(dict(start["headers"])[b"content-length"]) > 1_000_000
    assert not any(part["body"] for part in parts)


@pytest.mark.parametrize("path", [*PATHS, *UNKNOWN])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_every_response_forbids_guessing_its_type_and_says_whether_it_may_be_kept(
    gateway: HotPath, method: str, path: str
) -> None:
    start, *_ = await sent_by(gateway, method, path)
    names = [name for name, _ in start["headers"]]
    assert names.count(b"x-content-type-options") == 1
    assert names.count(b"cache-control") <= 1
    assert {b"cache-control", b"etag"} & set(names)
    assert b"server" not in names


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_pages_run_no_foreign_script_and_are_framed_by_nobody(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert all(source == "'self'" or source.startswith("'sha256-") for source in policy["script-src"].split())
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc"])
async def test_page_that_the_client_has_is_not_sent_again(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    tag = first.headers["ETag"]
    assert re.fullmatch('"[0-9a-f]{32}"', tag)
    assert first.headers["Cache-Control"] == "no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["Cache-Control"] == "no-cache"
    for other in ('"other"', tag[1:-1], ""):
        assert (await client.get(path, headers={"If-None-Match": other})).content == first.content


async def test_schema_is_rendered_once_for_each_card() -> None:
    gateway = create_hot_path(GatewaySettings())
    with (
        patch("api.http.documentation._current_card") as current,
        patch("api.http.openapi.make_schema", wraps=openapi.make_schema) as make_schema,
    ):
        async with client_of(gateway) as client:
            tags = []
            for card in (None, CARDS["texts"], CARDS["texts"].model_copy(update={"outputs": ("transform",)})):
                current.return_value = card
                tags += [(await client.get("/openapi.json")).headers["ETag"] for _ in range(5)]
    assert make_schema.call_count == 3
    assert len(set(tags)) == 3


async def test_schema_names_the_prefix_below_which_the_gateway_is(gateway: HotPath) -> None:
    transport = httpx.ASGITransport(cast(Any, gateway), root_path="/models/iris")
    async with httpx.AsyncClient(transport=transport, base_url="http://sepal") as client:
        assert (await client.get("/models/iris/openapi.json")).json()["servers"] == [{"url": "/models/iris"}]


async def test_pages_of_no_other_origin_are_trusted_by_default(client: httpx.AsyncClient) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        response = await client.request(method, "/predict", headers=preflight(ORIGIN))
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/predict", "/results/any", "/livez"])
async def test_named_origins_are_allowed(path: str) -> None:
    app = create_app(GatewaySettings(cors_origins=f"{ORIGIN}, https://c.example"))
    async with client_of(app) as client:
        allowed = await client.options(path, headers=preflight(ORIGIN))
        assert allowed.status_code == 204
        assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert {"POST", "DELETE"} <= set(allowed.headers["Access-Control-Allow-Methods"].split(", "))
        assert {"Prefer", "Idempotency-Key"} <= set(allowed.headers["Access-Control-Allow-Headers"].split(", "))
        refused = await client.options(path, headers=preflight(OTHER))
        assert refused.status_code == 204
        assert "Access-Control-Allow-Origin" not in refused.headers
        for origin in (ORIGIN, OTHER):
            response = await client.post(path, headers={"Origin": origin})
            assert (response.headers.get("Access-Control-Allow-Origin") == origin) is (origin == ORIGIN)
            assert "Origin" in response.headers["Vary"]
        exposed = (await client.post(path, headers={"Origin": ORIGIN})).headers["Access-Control-Expose-Headers"]
        of_ranges = {"Accept-Ranges", "Content-Range", "ETag"}
        others = {"Location", "Retry-After", "Preference-Applied", "Server-Timing", "X-Request-ID"}
        assert set(exposed.split(", ")) == of_ranges | others
        assert (await client.options(path)).headers["Allow"] == PATHS[path]


async def test_all_origins_can_be_allowed() -> None:
    async with client_of(create_app(GatewaySettings(cors_origins="*"))) as client:
        assert (await client.get("/livez", headers={"Origin": OTHER})).headers["Access-Control-Allow-Origin"] == "*"


def preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,prefer",
    }
