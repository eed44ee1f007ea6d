"""Parses a gateway's responses with h11, which is strict and independent of the gateway's code."""

import json
from dataclasses import dataclass
from typing import Any, Final

import h11

_LARGEST_HEAD: Final = 1024 * 1024


@dataclass(frozen=True)
class Response:
    """One response, final or interim."""

    status: int
    version: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the values of a header, joined with commas; None if it is missing."""
        values = [value for each, value in self.headers if each == name]
        return ", ".join(values) if values else None

    @property
    def is_interim(self) -> bool:
        """Whether another response to the same request follows."""
        return self.status < 200

    @property
    def closes(self) -> bool:
        """Whether it announces that the connection is closed."""
        options = (self.header("connection") or "").lower().split(",")
        return "close" in [option.strip() for option in options]

    def json(self) -> Any:
        """Decode the body; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        content = self.json()
        code = content.get("code", "") if isinstance(content, dict) else ""
        return f"{self.status} {code}".strip()


class ResponseReader:
    """Parses the bytes of a gateway as responses. Raises `h11.RemoteProtocolError` if they are not HTTP."""

    def __init__(self, *, head: bool = False) -> None:
        self._method = "HEAD" if head else "GET"
        self._response: h11.Response | None = None
        self._body: list[bytes] = []
        self._start(b"")

    @property
    def is_between_responses(self) -> bool:
        """Whether no part of another response has arrived."""
        return self._response is None and not self._connection.trailing_data[0]

    def feed(self, data: bytes) -> list[Response]:
        """Parse bytes (none: the end of the stream); return the responses that are now complete."""
        self._connection.receive_data(data)
        responses: list[Response] = []
        while (event := self._next_event()) is not None:
            if isinstance(event, h11.InformationalResponse):
                responses.append(_new_response(event, b""))
            elif isinstance(event, h11.Response):
                self._response, self._body = event, []
            elif isinstance(event, h11.Data):
                self._body.append(bytes(event.data))
            else:
                assert self._response is not None, "h11 ends only a response that has begun"
                responses.append(_new_response(self._response, b"".join(self._body)))
                self._start(self._connection.trailing_data[0])
        return responses

    def _next_event(self) -> Any:
        event = self._connection.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return None
        return event

    def _start(self, received: bytes) -> None:
        """Prepare h11 for the response to a request that was sent without it."""
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
        self._connection.send(h11.Request(method=self._method, target="/", headers=[("Host", "sepal")]))
        self._connection.send(h11.EndOfMessage())
        self._response, self._body = None, []
        if received:
            self._connection.receive_data(received)


def _new_response(event: Any, body: bytes) -> Response:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
    return Response(event.status_code, event.http_version.decode(), headers, body)
