"""The ledger: every submission and every answer, in the order in which they happened, as JSON lines.

The client writes it; the harness reads along, and judges it at the end. Times are of the machine's monotonic clock,
which is the same in all processes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from tests.chaos.traffic import Question

UNFINISHED: Final = frozenset({"queued", "running"})
LAST_LOOKS: Final = 2
"""How often every final result is fetched again at the end."""
GONE: Final = "gone"
"""The state of an accepted id that the gateway says it does not have (404, 410)."""


class Ending(msgspec.Struct, frozen=True):
    """What became of a prediction, as its client was told."""

    state: str
    code: str | None = None
    """Why there is no result."""
    prediction: list[Any] | None = None
    log_proba: list[list[Any]] | None = None

    @classmethod
    def of(cls, body: dict[str, Any]) -> "Ending | None":
        """Read the body of a result; None while it is not final."""
        if body["status"] in UNFINISHED:
            return None
        code = body.get("error", {}).get("code")
        return cls(body["status"], code, body.get("prediction"), body.get("log_proba"))

    @property
    def digest(self) -> str:
        """Tells any two endings apart."""
        return sha256(msgspec.json.encode(self)).hexdigest()


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """A submission is about to be sent."""

    number: int
    question: Question
    at: float


class Replied(msgspec.Struct, frozen=True, tag="replied"):
    """The gateway has answered the submission, or its connection was lost (status 0)."""

    number: int
    at: float
    status: int
    id: str | None
    code: str | None
    """Of the problem that was answered."""
    ending: Ending | None


class Looked(msgspec.Struct, frozen=True, tag="looked"):
    """A final result was fetched; the ending is written out the first time, and after that its digest alone."""

    number: int
    at: float
    digest: str
    ending: Ending | None


Event = Sent | Replied | Looked
_decoder = msgspec.json.Decoder(Event)


class Writer:
    """Appends to a ledger; each line is in the file before the call returns."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)

    def write(self, event: Event) -> None:
        """Append one event."""
        self._file.write(msgspec.json.encode(event) + b"\n")

    def close(self) -> None:
        """Add no more."""
        self._file.close()


@dataclass(slots=True)
class Entry:
    """Everything that the ledger knows of one submission."""

    sent: Sent
    replied: Replied | None = None
    ending: Ending | None = None
    ended_at: float | None = None
    """When it was first seen to be final."""
    digests: set[str] = field(default_factory=set)
    looks: int = 0
    """How often its final result was fetched."""

    @property
    def is_accepted(self) -> bool:
        """Whether the client was given an id."""
        return self.replied is not None and self.replied.id is not None

    @property
    def is_open(self) -> bool:
        """Whether its client still has to learn how it ended."""
        return self.is_accepted and self.ending is None

    def see(self, at: float, ending: Ending | None, digest: str) -> None:
        """Note that it was seen to be final."""
        self.digests.add(digest)
        if self.ending is None:
            self.ending, self.ended_at = ending, at


class Ledger:
    """A ledger as far as it has been read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.entries: dict[int, Entry] = {}

    def read(self) -> "Ledger":
        """Read what has been added since."""
        for event in self._new_events():
            self.take(event)
        return self

    def accepted(self) -> list[Entry]:
        """The submissions whose clients were given an id."""
        return [entry for entry in self.entries.values() if entry.is_accepted]

    def take(self, event: Event) -> None:
        """Add one event."""
        if isinstance(event, Sent):
            self.entries[event.number] = Entry(event)
            return
        entry = self.entries[event.number]
        if isinstance(event, Replied):
            entry.replied = event
            if event.ending is not None:
                entry.see(event.at, event.ending, event.ending.digest)
        else:
            entry.looks += 1
            entry.see(event.at, event.ending, event.digest)

    def _new_events(self) -> Iterator[Event]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written
                self._offset += len(line)
                yield _decoder.decode(line)
