"""Sends rows through the path of a request in this process: body, gateway's encoder, worker's decoder."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from api.http.rows import BodyReader
from shared.card import Data, ModelCard
from shared.columns import ModelInput
from shared.rows import EncodedRows, Row
from shared.store.records import Member
from training.inputs import describe_input
from training.sample import to_client_rows
from worker.pool.rows import make_decoder


def card_of(described: ModelInput, **fields: Any) -> ModelCard:
    """Return a card with this input, as it is after it was written and read."""
    card = ModelCard(
        name="any",
        version="1",
        digest="sha256:" + 64 * "0",
        input=described,
        data=Data(source="the tests", rows=1),
        **{
            "classes": None,
            "outputs": ("prediction",),
            "versions": {},
            "metrics": {},
            "example": ("a row",) if described.kind == "text" else (("a value",) * len(described.columns),),
            **fields,
        },
    )
    return ModelCard.model_validate_json(card.model_dump_json())


class RequestPath:
    """The path to one model."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._read = BodyReader(sys.maxsize, sys.maxsize)
        self.decode = make_decoder(card)

    @classmethod
    def to(cls, X: Any, **options: Any) -> "RequestPath":
        """Create the path to a model that was fitted on X."""
        return cls(card_of(describe_input(None, X, **options)))

    def rows_of(self, X: Any) -> list[Row]:
        """Return the rows of X as clients send them."""
        return to_client_rows(self.card.input, X)

    def encode(self, rows: Sequence[Any]) -> EncodedRows:
        """Encode the rows of one request; they fit one batch."""
        return concatenate(self._read(json.dumps({"data": rows}).encode(), self.card).rows)

    def batch(self, rows: Sequence[Any], n_rows: int) -> tuple[EncodedRows, list[Member]]:
        """Encode requests of `n_rows` rows each, as one batch."""
        parts = [self.encode(rows[start : start + n_rows]) for start in range(0, len(rows), n_rows)]
        members = [Member(bytes(13), part.n_rows, len(part.content)) for part in parts]
        return concatenate(parts), members

    def receive(self, X: Any) -> Any:
        """Return the rows of X as the worker decodes them."""
        return self.decode(self.encode(self.rows_of(X)))


def concatenate(parts: Sequence[EncodedRows]) -> EncodedRows:
    """Join the rows of several members, as the store does."""
    content = b"".join(part.content for part in parts)
    return EncodedRows(content, sum(part.n_rows for part in parts), parts[0].encoding)


def with_names(described: ModelInput, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Write rows as objects, their members in reverse order, without those that are missing."""
    names = [column.name for column in described.columns]
    return [
        {name: value for name, value in reversed(list(zip(names, row, strict=True))) if value is not None}
        for row in rows
    ]
