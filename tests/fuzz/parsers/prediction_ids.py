"""Ids of predictions and of dead letters in paths."""

import re
import string
from typing import Final

from hypothesis import strategies as st

from api.http.parameters import BATCH_ID_PATTERN
from api.http.schemas import ID_PATTERN
from shared.errors import PredictionNotFound
from shared.ids import SPANNING, PredictionId, child_id, new_batch_id, parse_child_id
from shared.names import Queue
from tests.fuzz.parsers.effort import Pumped, assert_linear, pumped
from tests.fuzz.parsers.properties import Property

_ALPHABET: Final = string.ascii_letters + string.digits + "-_"
_LENGTH: Final = 40
_CHARACTERS: Final = st.one_of(st.sampled_from(_ALPHABET), st.sampled_from("+/= \n\x00.éA\ud800"), st.characters())
_CANONICAL: Final = st.text(_ALPHABET, min_size=_LENGTH, max_size=_LENGTH)


@st.composite
def _nearly(draw: st.DrawFn) -> str:
    """An id with characters replaced, deleted or inserted."""
    text, position = draw(_CANONICAL), draw(st.integers(0, _LENGTH))
    return text[:position] + draw(st.text(_CHARACTERS, max_size=3)) + text[position + draw(st.integers(0, 3)) :]


TEXTS: Final = st.one_of(_CANONICAL, _nearly(), st.text(_CHARACTERS, max_size=80))


def _accepts_exactly_one_spelling(text: str) -> None:
    is_valid = len(text) == _LENGTH and set(text) <= set(_ALPHABET)
    try:
        found = PredictionId.parse(text)
    except PredictionNotFound:
        assert not is_valid
    else:
        assert is_valid
        assert str(found) == text
        assert re.fullmatch(BATCH_ID_PATTERN, found.batch_id)
        assert found.queue is (Queue.BULK if found.index == SPANNING else Queue.INTERACTIVE)
        assert isinstance(found.age_seconds, float)
    assert bool(re.fullmatch(ID_PATTERN, text)) is is_valid


def _comes_back(index: int) -> None:
    made = PredictionId.new(new_batch_id(), index)
    assert PredictionId.parse(str(made)) == made
    child = child_id(made.batch_id, index)
    assert parse_child_id(child) == (made.batch_id, index)
    assert re.fullmatch(BATCH_ID_PATTERN, child)


def _parse(text: bytes) -> None:
    PredictionId.parse(text.decode("latin-1"))


def _is_linear(text: Pumped) -> None:
    assert_linear(_parse, text)


PROPERTIES: Final = [
    Property("accepts exactly one spelling of an id", TEXTS, _accepts_exactly_one_spelling),
    Property("reads back what it wrote", st.integers(0, SPANNING), _comes_back),
    Property("takes linear time", pumped(st.binary(max_size=4)), _is_linear),
]
