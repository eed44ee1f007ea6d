"""The strikes against a request, and their moments: cut the connection, refuse the request, or kill the gateway."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum, StrEnum, auto
from math import floor
from typing import Final, NamedTuple

_CODES: Final = {503: "backlog-full", 429: "too-many-requests", 502: "bad-gateway"}
_PROBLEM: Final = '{{"status": {status}, "code": "{code}", "title": "Later", "detail": "Try again later."}}'
_PAGE: Final = "<html><h1>{status} {code}</h1></html>"


class Side(Enum):
    """The bytes that a moment counts."""

    REQUEST = auto()
    RESPONSE = auto()


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment after a number of forwarded bytes of a request or response, or a time after the request's head."""

    side: Side | None = None
    n_bytes: int = 0
    """With a side. More bytes than there are: after the last one of a request, and never in a response."""
    seconds: float = 0
    """Without a side."""


class Ending(StrEnum):
    """How a connection ends."""

    RESET = auto()  # RST
    CLOSE = auto()  # FIN


@dataclass(frozen=True, slots=True)
class Cut:
    """End the connection to the client, and that to the gateway in the same way."""

    ending: Ending
    keeps_gateway: bool = False
    """Whether the connection to the gateway stays open until it has responded; the response is discarded."""


class RetryAfter(StrEnum):
    """The form of the header."""

    SECONDS = auto()
    DATE = auto()
    ABSENT = auto()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Respond with an error."""

    status: int
    form: RetryAfter = RetryAfter.ABSENT
    seconds: int = 0
    """In `Retry-After`."""
    is_problem: bool = True
    """Whether the body is a problem document, as of a gateway, or a page, as of a proxy."""
    after_acceptance: bool = False
    """Whether the gateway gets the request, and the error replaces its response."""

    def earliest(self, now: float) -> float:
        """Return the earliest time of a retry, in seconds since 1970."""
        if self.form is RetryAfter.ABSENT:
            return now
        return (floor(now) if self.form is RetryAfter.DATE else now) + self.seconds

    def response(self, now: float) -> bytes:
        """Write the response; `now` is in seconds since 1970."""
        media_type, template = ("application/problem+json", _PROBLEM) if self.is_problem else ("text/html", _PAGE)
        body = template.format(status=self.status, code=_CODES[self.status])
        headers = {"Content-Type": media_type, "Content-Length": str(len(body)), "Connection": "close"}
        if self.form is RetryAfter.SECONDS:
            headers["Retry-After"] = str(self.seconds)
        elif self.form is RetryAfter.DATE:
            headers["Retry-After"] = formatdate(self.earliest(now), usegmt=True)
        lines = [f"HTTP/1.1 {self.status} Later", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", body]).encode()


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the gateway that has the request, or all gateways."""

    kills_all: bool = False


class Strike(NamedTuple):
    """One strike against one request."""

    moment: Moment
    action: Cut | Refuse | Kill


class Target(NamedTuple):
    """The method of a request, and its path with the query."""

    method: str
    path: str


class Plan(NamedTuple):
    """The strikes against the requests of one operation."""

    matches: Callable[[Target], bool]
    """Whether a request is one of those to strike."""
    strikes: Iterator[Strike]
    """One for each of these requests; when they end, requests are forwarded."""


@dataclass(slots=True)
class Seen:
    """A request that reached the proxy."""

    target: Target
    at: float
    """Seconds since 1970."""
    strike: Strike | None = None
    was_struck: bool = False
    """Whether the strike's moment came."""
    earliest_repeat: float = 0
    """If it was refused: since 1970, too."""
