"""The interface that the readers of all formats share."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from api.bulk.wire import TableSettings, UploadJob
from api.formats.pieces import Piece
from shared.card import ModelCard
from shared.columns import Column
from shared.names import Output


class Upload(msgspec.Struct, frozen=True):
    """An upload to read: the body, the job, the model card and the limits."""

    body: Any
    """A reader of the decompressed body: `read(n)` returns at most `n` bytes, and none at the end."""
    job: UploadJob
    card: ModelCard
    settings: TableSettings

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of the model card."""
        return self.card.input.columns


class UploadReader(Protocol):
    """Reads the rows of an upload in one format, in order."""

    @property
    def carried(self) -> Sequence[Any]:
        """The types of the carried columns."""

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows in pieces."""

    def outputs(self) -> tuple[Output, ...]:
        """Return the outputs that the body requests, after `pieces` has ended; empty if it requests none."""
