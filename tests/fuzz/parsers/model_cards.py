"""Model cards: files that a worker reads, and announcements that a gateway reads from the store."""

import json
from typing import Any, Final

from hypothesis import strategies as st
from pydantic import ValidationError

from api.http.body_schema import body_examples, body_schemas
from api.http.rows import BodyReader
from shared.card import ModelCard
from shared.columns import Unit, ValueType
from shared.errors import InvalidRows, MalformedJson
from tests.fuzz.parsers.properties import Property
from tests.unit.api.http.cards import CARDS

_ODD: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.sampled_from([*ValueType, *Unit, "matrix", "table", "text", "nan", "prediction", "pipeline.skops"]),
)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A valid card in which some values, at any depth, are replaced."""
    card = json.loads(CARDS[draw(st.sampled_from(sorted(CARDS)))].model_dump_json())
    for _ in range(draw(st.integers(0, 3))):
        _mutate(draw, card)
    return json.dumps(card).encode("utf-8", "surrogatepass")


def _mutate(draw: st.DrawFn, card: Any) -> None:
    place = card
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or draw(st.integers(0, 4)) == 0:
            break
        place = place[key]
    action = draw(st.sampled_from(["replace", "remove", "add", "repeat"]))
    if action == "replace":
        place[key] = draw(_ODD)
    elif action == "remove":
        del place[key]
    elif isinstance(place, list):
        place.append(place[key] if action == "repeat" else draw(_ODD))
    else:
        place[draw(st.sampled_from(["time_zone", "unit", "nullable", "categories", "seen", "x"]))] = draw(_ODD)


CARDS_OF_ALL_KINDS: Final = st.one_of(_mutated(), st.binary(max_size=20))


def _read(content: bytes) -> ModelCard | None:
    try:
        return ModelCard.model_validate_json(content)
    except ValidationError:
        return None


def _comes_back(content: bytes) -> None:
    card = _read(content)
    if card is not None:
        assert repr(ModelCard.model_validate_json(card.model_dump_json())) == repr(card)
        assert card.default_outputs
        assert card.ref.digest.startswith("sha256:")


def _can_be_served(content: bytes) -> None:
    """A gateway that accepts a card can render it, and parse bodies with it."""
    card = _read(content)
    if card is None:
        return
    json.dumps(body_schemas(card, max_rows=3))
    json.dumps(body_examples(card))
    for row in ('["a"]', json.dumps([[1] * len(card.input.columns)]), "[{}]"):
        try:
            BodyReader(max_rows=3, max_text_bytes=100)(f'{{"data": {row}}}'.encode(), card)
        except (InvalidRows, MalformedJson):
            pass


PROPERTIES: Final = [
    Property("reads back what it wrote", CARDS_OF_ALL_KINDS, _comes_back),
    Property("can be served if it is accepted", CARDS_OF_ALL_KINDS, _can_be_served),
]
