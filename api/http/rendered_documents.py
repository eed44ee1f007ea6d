"""Documents that are rendered once for each model card, and have an `ETag`, so that clients can cache them."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from shared.card import ModelCard


class RenderedDocument:
    """The bytes of a document and its headers."""

    def __init__(self, body: bytes, media_type: str, headers: Mapping[str, str]) -> None:
        self._body = body
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self._headers = {**headers, "Cache-Control": "no-cache", "ETag": self._etag}
        self._media_type = media_type

    def respond(self, request: Request) -> Response:
        """Respond with 200 and the document, or with 304 if the client has it (RFC 9110, section 13.1.2)."""
        known = ",".join(request.headers.getlist("if-none-match"))
        if known and self._matches_etag(known):
            return Response(status_code=304, headers=self._headers)
        return Response(self._body, headers=self._headers, media_type=self._media_type)

    def _matches_etag(self, known: str) -> bool:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}  # the gateway's tags have no comma
        return self._etag in tags or known.strip() == "*"


class DocumentCache:
    """Renders a document at the first request, and again when the card has changed."""

    def __init__(self, render: Callable[..., RenderedDocument]) -> None:
        """Start without a document.

        Args:
            render: takes the arguments of `get`.
        """
        self._render = render
        self._lock = asyncio.Lock()
        self._rendered: tuple[ModelCard | None, tuple[Any, ...], RenderedDocument] | None = None

    async def get(self, card: ModelCard | None, *render_arguments: Any) -> RenderedDocument:
        """Return the document for a card (or None) and the other arguments of `render`."""
        found = self._cached_document(card, render_arguments)
        if found is None:
            async with self._lock:  # concurrent requests wait for the first
                found = self._cached_document(card, render_arguments)
                if found is None:
                    # In a thread, because a card of thousands of columns takes a second.
                    found = await run_in_threadpool(self._render, card, *render_arguments)
                    self._rendered = card, render_arguments, found
        return found

    def _cached_document(self, card: ModelCard | None, render_arguments: tuple[Any, ...]) -> RenderedDocument | None:
        if self._rendered is None or self._rendered[0] is not card or self._rendered[1] != render_arguments:
            return None
        return self._rendered[2]
