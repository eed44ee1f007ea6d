"""Serves the documentation: `/openapi.json`, `/docs` (Swagger UI) and `/redoc`, which load nothing from other hosts."""

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
from api.http.rendered_documents import DocumentCache, RenderedDocument
from api.http.security import PAGE_HEADERS, content_security_policy, csp_hash_source
from shared.card import ModelCard
from shared.errors import ModelUnknown, RecordIncompatible

_TEMPLATES: Final = Path(__file__).parent / "templates"
_STATIC: Final = Path(fastapi_offline.__file__).parent / "static"
_REDOC_SCRIPT_NAME: Final = "redoc.standalone.js"
_LOGO: Final = b"https://cdn.redoc.ly/redoc/logo-mini.svg"  # the only thing that ReDoc loads from another host
_BLANK_IMAGE: Final = b"data:image/gif;base64,R0lGODlhAQABAAAAACw="
_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def add_pages(app: FastAPI, cluster: ClusterStatus, make_schema: Callable[[ModelCard | None], dict[str, Any]]) -> None:
    """Add the pages to the application.

    Args:
        app: the gateway's FastAPI application.
        cluster: provides the current card.
        make_schema: returns the OpenAPI schema for a card.
    """

    def render(card: ModelCard | None, root_path: str) -> RenderedDocument:
        schema = make_schema(card)
        if root_path:
            schema = {**schema, "servers": [{"url": root_path}]}
        body = json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode()
        return RenderedDocument(body, "application/json", {})

    schema = DocumentCache(render)
    docs, redoc = _load_page("docs.html"), _load_page("redoc.html")
    redoc_script = RenderedDocument(
        (_STATIC / _REDOC_SCRIPT_NAME).read_bytes().replace(_LOGO, _BLANK_IMAGE), "text/javascript", {}
    )

    async def show_schema(request: Request) -> Response:
        return (await schema.get(_current_card(cluster), request.scope.get("root_path", ""))).respond(request)

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
        Route(f"/static-offline-docs/{_REDOC_SCRIPT_NAME}", send_redoc_script),
        Mount("/static-offline-docs", StaticFiles(directory=_STATIC)),
    ]


def _current_card(cluster: ClusterStatus) -> ModelCard | None:
    try:
        return cluster.model.card
    except (ModelUnknown, RecordIncompatible):
        return None


def _load_page(name: str) -> RenderedDocument:
    html = (_TEMPLATES / name).read_text()
    policy = content_security_policy(
        script_src=" ".join(["'self'", *map(csp_hash_source, _SCRIPT.findall(html))]),
        style_src="'self' 'unsafe-inline'",  # both pages create style elements
        img_src="'self' data:",
        connect_src="'self'",
        worker_src="blob:",  # ReDoc's search
    )
    return RenderedDocument(html.encode(), "text/html", {**PAGE_HEADERS, "Content-Security-Policy": policy})
