"""What the reading of every format has in common."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from api.bulk.wire import TableSettings, UploadJob
from api.formats.intake import Piece
from shared.card import ModelCard
from shared.columns import Column
from shared.names import Output


class Upload(msgspec.Struct, frozen=True):
    """A body that is to be read, and what it is to be read as."""

    body: Any
    """Has `read(n)`, which returns at most `n` bytes, and none at the end."""
    job: UploadJob
    card: ModelCard
    settings: TableSettings

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of the model card."""
        return self.card.input.columns


class Table(Protocol):
    """The rows of an upload, in the order in which they stand there."""

    @property
    def carried(self) -> Sequence[Any]:
        """The types of the carried columns."""

    def pieces(self) -> Iterator[Piece]:
        """Read the rows."""

    def outputs(self) -> tuple[Output, ...]:
        """Return the outputs that the upload asks for, once it has been read; empty if it asks for none."""
