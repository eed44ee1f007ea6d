"""Reads request bodies."""

from typing import Final

from starlette.types import Receive

from api.http.headers import RequestHeaders
from shared.errors import BodyTooLarge, MalformedJson, UnsupportedContentType

_JSON: Final = b"application/json"


async def read_json_body(headers: RequestHeaders, receive: Receive, max_bytes: int) -> bytes:
    """Read the body of a request, whose `Content-Type` must be JSON.

    Raises:
        UnsupportedContentType: the content type is missing or not JSON.
        BodyTooLarge: the body, or its `Content-Length`, is longer than `max_bytes`.
        MalformedJson: the client disconnected before the body was complete.
    """
    if headers.media_type != _JSON and not _is_json(headers.media_type):
        raise UnsupportedContentType
    if headers.content_length > max_bytes:
        raise BodyTooLarge
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedJson("The body ended early.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > max_bytes:
            raise BodyTooLarge
    return body


def _is_json(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == _JSON or media_type.endswith(b"+json")
