"""The upper limit of the throughput: uvicorn with a constant response, without framework, validation or model.

One uvicorn process with uvloop and httptools, as `uvicorn[standard]` installs them. No server that runs on one process
of this uvicorn can be faster.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]

_BODY: Final = b'{"constant": true}'
_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())],
}


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Read the request to its end, and send the constant response."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send({"type": "http.response.body", "body": _BODY})
