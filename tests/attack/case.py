"""The parts of a case: the exact bytes that a client sends, the responses that HTTP requires, and the rule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

from tests.attack.response import Response


class On(StrEnum):
    """The gateway that a case requires; a run against a given address has only the first."""

    DEFAULT = "default"
    """All settings have their default values."""
    SMALL = "small"
    """Times of a second, and small limits of bodies (`site.SMALL`)."""
    NARROW = "narrow"
    """Few connections (`site.NARROW`)."""


class Then(Enum):
    """The expected state of the connection after the responses."""

    OPEN = "open"
    """It accepts another request."""
    CLOSED = "closed"
    """The gateway ends it in order: a client reads the end of the stream."""
    RESET = "reset"
    """The gateway resets it."""
    ENDED = "ended"
    """Either of the two."""
    ANY = "any"
    """It may also stay open."""


class Proxied(Enum):
    """The expected behavior of a proxy in front of the gateway."""

    SAME = "same"
    """The same responses; a refusal may have another status of the same kind, and a body of the proxy's own."""
    REPAIRED = "repaired"
    """A proxy may also repair or discard the faulty part, and pass on a sound request."""
    SKIP = "skip"
    """The proxy does not pass it on, or reads it otherwise: LF as the end of a line, tabs as a part of a value."""


@dataclass(frozen=True)
class Drip:
    """Sends a few bytes at a time until the gateway ends the connection or responds, or everything is sent."""

    data: bytes
    every: float = 0.1
    """Seconds."""
    size: int = 1


@dataclass(frozen=True)
class Flood:
    """Sends a unit over and over, until it was sent so many times or the gateway ends the connection."""

    unit: bytes
    times: int


@dataclass(frozen=True)
class AwaitResponses:
    """Waits until so many responses, including interim ones, have arrived."""

    count: int = 1


class Act(Enum):
    """A step of a client other than sending."""

    HALF_CLOSE = "half-close"
    """Ends its own direction of the connection."""
    STOP_READING = "stop reading"
    """Leaves everything that arrives from now on in the kernel's buffer."""
    WAIT_UNREAD = "wait without reading"
    """Waits, without reading, until the gateway ends the connection."""


Step = bytes | Drip | Flood | AwaitResponses | Act

HALF_CLOSE: Final = Act.HALF_CLOSE
STOP_READING: Final = Act.STOP_READING
WAIT_UNREAD: Final = Act.WAIT_UNREAD


@dataclass(frozen=True)
class Want:
    """The expected response; an empty code or text is not checked."""

    statuses: tuple[int, ...]
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    """Values that headers must have; `*` is any value, and an empty value means that the header must be missing."""
    body: str = ""
    """A text that the body must contain."""
    check: Callable[[Response], str] | None = None
    """Returns the faults of the response."""

    @property
    def is_refusal(self) -> bool:
        """Whether a client error or an unsupported feature is expected."""
        return all(status >= 400 for status in self.statuses)


@dataclass(frozen=True)
class Case:
    """One connection of one client.

    A step of bytes is one packet. The methods are those of the requests that are answered, for responses to HEAD have
    no body.
    """

    name: str
    sends: tuple[Step, ...]
    wants: tuple[Want, ...]
    rfc: str
    """The section of the standard, or the setting, that the expectation follows from."""
    then: Then = Then.OPEN
    interim: tuple[int, ...] = ()
    head: bool = False
    """Whether all requests are HEAD requests."""
    on: On = On.DEFAULT
    proxied: Proxied = Proxied.SAME
    may_be_silent: bool = False
    """Whether the gateway may also close the connection without a response."""
    held: tuple[tuple[str, int], ...] = ()
    """How many other connections are held meanwhile, from which addresses; no other case runs at the same time."""
