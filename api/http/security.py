"""The security headers of responses: two for all responses, and more for HTML pages."""

import base64
import hashlib
from typing import Final

from starlette.types import Message, Send

NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
NO_STORE: Final = (b"cache-control", b"no-store")
_CACHING_HEADERS: Final = frozenset({b"cache-control", b"etag"})

PAGE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""The headers of HTML pages; each page also has its own content security policy."""


def with_security_headers(send: Send) -> Send:
    """Return a `send` that forbids browsers to guess the type of a response or, by default, to store it."""

    async def send_with_security_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            names = {name.lower() for name, _ in headers}
            if NOSNIFF[0] not in names:
                headers.append(NOSNIFF)
            if not names & _CACHING_HEADERS:
                headers.append(NO_STORE)
            message = {**message, "headers": headers}
        await send(message)

    return send_with_security_headers


def content_security_policy(**directives: str) -> str:
    """Return a policy that allows only what the directives name (underscores for hyphens), and forbids framing."""
    closed = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
    named = {name.replace("_", "-"): value for name, value in directives.items()}
    return "; ".join(f"{name} {value}" for name, value in (closed | named).items())


def csp_hash_source(text: str) -> str:
    """Return the hash by which a policy allows an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
