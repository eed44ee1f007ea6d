"""The faults between clients and gateways: three kinds, in four phases of a client."""

from dataclasses import dataclass
from typing import Final

from tests.chaos.clients.draw import Kind
from tests.chaos.clients.operations import Phase

_TITLES: Final = {
    Kind.CUT: "connection cut",
    Kind.KILL: "gateway killed",
    Kind.REFUSE: "429, 502 or 503",
}


@dataclass(frozen=True, slots=True)
class ClientFault:
    """A fault, as a line of the table."""

    kind: Kind
    phase: Phase

    @property
    def name(self) -> str:
        """On the command line."""
        return f"client-{self.kind}-{self.phase}"

    @property
    def title(self) -> str:
        """In the table."""
        return f"{_TITLES[self.kind]}, {self.phase}"


CLIENT_FAULTS: Final = {fault.name: fault for fault in (ClientFault(kind, phase) for kind in Kind for phase in Phase)}
