"""Reads JSON request bodies."""

from io import BytesIO
from typing import Final

from starlette.types import Receive

from api.http.headers import RequestHeaders
from shared.errors import BodyTooLarge, MalformedJson, UnsupportedContentCoding, UnsupportedContentType

_JSON: Final = b"application/json"


async def read_json_body(headers: RequestHeaders, receive: Receive, max_bytes: int) -> bytes:
    """Read the body of a request, whose `Content-Type` must be JSON.

    The server of `python -m api` also refuses a body whose `Content-Length` is too large (`api/http/server`).

    Raises:
        UnsupportedContentType: the content type is missing or not JSON.
        UnsupportedContentCoding: the body is compressed.
        BodyTooLarge: the body is longer than `max_bytes`.
        MalformedJson: the client disconnected before the body was complete.
    """
    if headers.media_type != _JSON and not _is_json(headers.media_type):
        raise UnsupportedContentType
    if headers.content_coding and headers.content_coding.lower() != b"identity":
        raise UnsupportedContentCoding
    body, more = await _receive_part(receive)
    if more:
        gathered = BytesIO()  # grows in place: a server may deliver one byte at a time
        while more and len(body) <= max_bytes - gathered.tell():
            gathered.write(body)
            body, more = await _receive_part(receive)
        gathered.write(body)
        body = gathered.getvalue()
    if len(body) > max_bytes:
        raise BodyTooLarge
    return body


async def _receive_part(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise MalformedJson("The body ended early.")
    return message.get("body", b""), message.get("more_body", False)


def _is_json(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == _JSON or media_type.endswith(b"+json")
