"""Allows pages of the origins in `SEPAL_CORS_ORIGINS` to read responses in a browser (CORS)."""

from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from api.http.security import NO_STORE, NOSNIFF

_METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
_HEADERS: Final = (
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "Sepal-Deadline",
    "traceparent",
    "X-Request-ID",
)
_EXPOSED_HEADERS: Final = (
    *("Location", "Preference-Applied", "Retry-After", "Server-Timing", "X-Request-ID"),
    *("Accept-Ranges", "Content-Range", "ETag"),
)


def with_cors(app: ASGIApp, origins: str) -> ASGIApp:
    """Respond to preflight requests of these origins, and allow them to read responses.

    Args:
        app: the gateway's ASGI application.
        origins: separated by commas; `*` for all, and empty for none.
    """
    allowed = [origin.strip() for origin in origins.split(",") if origin.strip()]
    if not allowed:
        return app
    return _CorsMiddleware(app, allowed, _METHODS, _HEADERS, expose_headers=_EXPOSED_HEADERS)


class _CorsMiddleware(CORSMiddleware):
    """Starlette's middleware, except that a preflight request gets the response 204 without content."""

    def preflight_response(self, request_headers: Headers) -> Response:
        headers = super().preflight_response(request_headers).raw_headers
        response = Response(status_code=204)
        kept = [(name, value) for name, value in headers if not name.startswith(b"content-")]
        response.raw_headers = [*kept, NOSNIFF, NO_STORE]
        return response
