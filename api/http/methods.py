"""Handles HEAD and OPTIONS for every path in front of FastAPI, and adds security headers to every response."""

from contextlib import suppress
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from api.http.problems import not_found_response
from api.http.security import with_security_headers

IS_HEAD_KEY: Final = "sepal.is_head"
"""In the scope of a HEAD request that is handled as a GET: handlers can omit content that is expensive."""
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SERVER_METHODS: Final = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"]


class HeadAndOptions:
    """FastAPI, with HEAD for every path that has GET, and OPTIONS for all (RFC 9110, sections 9.3.2 and 9.3.7)."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = with_security_headers(send)
        if scope["method"] == "OPTIONS":
            await self._respond_to_options(scope)(scope, receive, send)
        elif scope["method"] == "HEAD":
            as_get = {**scope, "method": "GET", IS_HEAD_KEY: True}
            try:
                await self._app(as_get, receive, _without_body(send))
            finally:
                scope["route"] = as_get.get("route")
        else:
            await self._app(scope, receive, send)

    def _respond_to_options(self, scope: Scope) -> Response:
        methods = allowed_methods(self._app, scope)
        if not methods:
            return not_found_response()
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Allow": ", ".join(methods)})


def allowed_methods(app: FastAPI, scope: Scope) -> list[str]:
    """List the methods of a path, or of the whole server for the path `*`; empty for an unknown path.

    Starlette's own `Allow` covers only the first of the routes that share a path.
    """
    if scope["path"] == "*":
        return _SERVER_METHODS
    # A mount has added its own path to the root path.
    scope = {**scope, "root_path": scope.get("app_root_path", scope.get("root_path", ""))}
    found = [
        method for method in _METHODS if any(_is_match(route, {**scope, "method": method}) for route in app.routes)
    ]
    if not found:
        return []
    return [*(["GET", "HEAD"] if found[0] == "GET" else found[:1]), *found[1:], "OPTIONS"]


def _is_match(route: BaseRoute, scope: Scope) -> bool:
    matched, child_scope = route.matches(scope)
    if isinstance(route, Mount) and matched is Match.FULL:
        return scope["method"] == "GET" and _is_file(route, {**scope, **child_scope})
    return matched is Match.FULL


def _is_file(mount: Mount, scope: Scope) -> bool:
    if isinstance(mount.app, StaticFiles):
        with suppress(OSError, ValueError):
            return mount.app.lookup_path(mount.app.get_path(scope))[1] is not None
    return False


def _without_body(send: Send) -> Send:
    """Return a `send` that omits the body of the response but keeps its `Content-Length`."""

    async def send_without_body(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_without_body
