"""The headers that tell a browser what a response may do: on every response, and more on pages."""

import base64
import hashlib
from typing import Final

from starlette.types import Message, Send

NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
NO_STORE: Final = (b"cache-control", b"no-store")
_CACHED: Final = frozenset({b"cache-control", b"etag"})

PAGE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of pages for people; each page has a content security policy of its own."""


def with_security_headers(send: Send) -> Send:
    """Forbid browsers to guess the type of a response and, unless it says otherwise, to keep it."""

    async def send_with_security_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            names = {name.lower() for name, _ in headers}
            if NOSNIFF[0] not in names:
                headers.append(NOSNIFF)
            if not names & _CACHED:
                headers.append(NO_STORE)
            message = {**message, "headers": headers}
        await send(message)

    return send_with_security_headers


def content_security_policy(**directives: str) -> str:
    """Allow what the directives name, with underscores for hyphens, and nothing else; no page may frame this one."""
    closed = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
    named = {name.replace("_", "-"): value for name, value in directives.items()}
    return "; ".join(f"{name} {value}" for name, value in (closed | named).items())


def hash_source_of(text: str) -> str:
    """Name an inline script or style in a policy by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
