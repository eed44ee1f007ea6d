"""An entry of the list of dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any


@dataclass(frozen=True)
class DeadLetterEntry:
    """A dead letter: a batch whose attempts are used up."""

    id: str
    dead_since: datetime
    """In UTC."""


def read_entry(body: Mapping[str, Any]) -> DeadLetterEntry:
    """Parse an entry of the list.

    Raises:
        KeyError, TypeError, ValueError: the body has another form.
    """
    return DeadLetterEntry(str(body["id"]), datetime.fromtimestamp(body["buried"], timezone.utc))
