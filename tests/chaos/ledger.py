"""The ledger: every submission and every response, in order of time, as JSON lines.

The client writes it. The harness reads it during the run, and judges it at the end. Times are from the machine's
monotonic clock, which is the same in all processes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from tests.chaos.traffic import Submission

UNFINISHED: Final = frozenset({"queued", "running"})
FINAL_POLLS: Final = 2
"""How often every final result is fetched again at the end."""
GONE: Final = "gone"
"""The state of an accepted id that the gateway does not know (404, 410)."""


class FinalResponse(msgspec.Struct, frozen=True):
    """A response that shows a prediction as final, or as unknown."""

    state: str
    code: str | None = None
    """The code of the reason why there is no result."""
    prediction: list[Any] | None = None
    log_proba: list[list[Any]] | None = None

    @classmethod
    def of(cls, body: dict[str, Any]) -> "FinalResponse | None":
        """Read the body of a result; None if it is not final."""
        if body["status"] in UNFINISHED:
            return None
        code = body.get("error", {}).get("code")
        return cls(body["status"], code, body.get("prediction"), body.get("log_proba"))

    @property
    def digest(self) -> str:
        """The SHA-256 of the response, to compare it with later ones."""
        return sha256(msgspec.json.encode(self)).hexdigest()


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """A submission, written before it is sent."""

    number: int
    submission: Submission
    at: float


class Responded(msgspec.Struct, frozen=True, tag="responded"):
    """The response to a submission; status 0 if the connection was lost."""

    number: int
    at: float
    status: int
    id: str | None
    code: str | None
    """The code of a problem."""
    final: FinalResponse | None


class Polled(msgspec.Struct, frozen=True, tag="looked"):
    """A poll that found a final result: the response at the first such poll, and only its digest later."""

    number: int
    at: float
    digest: str
    final: FinalResponse | None


Event = Sent | Responded | Polled
_decoder = msgspec.json.Decoder(Event)


class Writer:
    """Appends to a ledger, unbuffered: an event is in the file when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)

    def write(self, event: Event) -> None:
        """Append one event."""
        self._file.write(msgspec.json.encode(event) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(slots=True)
class Entry:
    """The recorded events of one submission."""

    sent: Sent
    responded: Responded | None = None
    final: FinalResponse | None = None
    final_at: float | None = None
    """When a response first showed it as final."""
    digests: set[str] = field(default_factory=set)
    polls: int = 0
    """The number of times its final result was fetched."""

    @property
    def is_accepted(self) -> bool:
        """Whether the client got an id."""
        return self.responded is not None and self.responded.id is not None

    @property
    def is_open(self) -> bool:
        """Whether it is accepted, and no response has shown it as final."""
        return self.is_accepted and self.final is None

    def add_final(self, at: float, final: FinalResponse | None, digest: str) -> None:
        """Add a response that shows it as final."""
        self.digests.add(digest)
        if self.final is None:
            self.final, self.final_at = final, at


class Ledger:
    """The part of a ledger that has been read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.entries: dict[int, Entry] = {}

    def read(self) -> "Ledger":
        """Read the events added since the last call."""
        for event in self._new_events():
            self.add(event)
        return self

    def accepted(self) -> list[Entry]:
        """The submissions whose client got an id."""
        return [entry for entry in self.entries.values() if entry.is_accepted]

    def add(self, event: Event) -> None:
        """Add one event."""
        if isinstance(event, Sent):
            self.entries[event.number] = Entry(event)
            return
        entry = self.entries[event.number]
        if isinstance(event, Responded):
            entry.responded = event
            if event.final is not None:
                entry.add_final(event.at, event.final, event.final.digest)
        else:
            entry.polls += 1
            entry.add_final(event.at, event.final, event.digest)

    def _new_events(self) -> Iterator[Event]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # the client has not finished this line
                self._offset += len(line)
                yield _decoder.decode(line)
