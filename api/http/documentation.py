"""Serves the documentation: `/openapi.json`, `/docs` (Swagger UI) and `/redoc`, which load nothing from elsewhere."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import fastapi_offline
from fastapi import FastAPI, Request, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from api.cluster.status import ClusterStatus
from api.http.rendered import OncePerCard, Rendered
from api.http.security import PAGE_HEADERS, content_security_policy, source_of
from shared.card import ModelCard
from shared.errors import ModelUnknown, RecordIncompatible

_TEMPLATES: Final = Path(__file__).parent / "templates"
_STATIC: Final = Path(fastapi_offline.__file__).parent / "static"
_REDOC: Final = "redoc.standalone.js"
_LOGO: Final = b"https://cdn.redoc.ly/redoc/logo-mini.svg"  # the only address that ReDoc loads from elsewhere
_NO_LOGO: Final = b"data:image/gif;base64,R0lGODlhAQABAAAAACw="
_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI, cluster: ClusterStatus, describe: Callable[[ModelCard | None], dict[str, Any]]) -> None:
    """Add the pages to the application.

    Args:
        app: the gateway's FastAPI application.
        cluster: knows the current card.
        describe: makes the OpenAPI schema for a card.
    """

    def render(card: ModelCard | None, root_path: str) -> Rendered:
        schema = describe(card)
        if root_path:
            schema = {**schema, "servers": [{"url": root_path}]}
        body = json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode()
        return Rendered(body, "application/json", {})

    schema = OncePerCard(render)
    docs, redoc = _page("docs.html"), _page("redoc.html")
    redoc_script = Rendered((_STATIC / _REDOC).read_bytes().replace(_LOGO, _NO_LOGO), "text/javascript", {})

    async def show_schema(request: Request) -> Response:
        return (await schema.get(_card(cluster), request.scope.get("root_path", ""))).respond(request)

    async def show_docs(request: Request) -> Response:
        return docs.respond(request)

    async def show_redoc(request: Request) -> Response:
        return redoc.respond(request)

    async def send_redoc_script(request: Request) -> Response:
        return redoc_script.respond(request)

    app.router.routes += [
        Route("/openapi.json", show_schema),
        Route("/docs", show_docs),
        Route("/redoc", show_redoc),
        Route(f"/static-offline-docs/{_REDOC}", send_redoc_script),
        Mount("/static-offline-docs", StaticFiles(directory=_STATIC)),
    ]


def _card(cluster: ClusterStatus) -> ModelCard | None:
    try:
        return cluster.model.card
    except (ModelUnknown, RecordIncompatible):
        return None


def _page(name: str) -> Rendered:
    html = (_TEMPLATES / name).read_text()
    policy = content_security_policy(
        script_src=" ".join(["'self'", *map(source_of, _SCRIPT.findall(html))]),
        style_src="'self' 'unsafe-inline'",  # both pages make style elements
        img_src="'self' data:",
        connect_src="'self'",
        worker_src="blob:",  # the search of ReDoc
    )
    return Rendered(html.encode(), "text/html", {**PAGE_HEADERS, "Content-Security-Policy": policy})
