"""The parsers that have a fuzzer."""

from typing import Final

from tests.fuzz.parsers import (
    bodies,
    forwarded_for,
    http_framing,
    keys_and_deadlines,
    model_cards,
    prediction_ids,
    preferences,
)
from tests.fuzz.parsers.properties import Property

PARSERS: Final[dict[str, list[Property]]] = {
    "bodies": bodies.PROPERTIES,
    "prefer": preferences.PROPERTIES,
    "idempotency-key": keys_and_deadlines.KEY_PROPERTIES,
    "sepal-deadline": keys_and_deadlines.DEADLINE_PROPERTIES,
    "x-forwarded-for": forwarded_for.PROPERTIES,
    "heads": http_framing.HEAD_PROPERTIES,
    "chunks": http_framing.CHUNK_PROPERTIES,
    "ids": prediction_ids.PROPERTIES,
    "cards": model_cards.PROPERTIES,
}
