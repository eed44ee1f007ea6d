"""Ids are unique, contain the id of their record, and are parsed strictly."""

import string

import pytest

from shared.errors import PredictionNotFound
from shared.ids import SPANNING, PredictionId, child_id, new_batch_id, parse_child_id
from tests.patience import patience


def test_written_id_is_parsed_back() -> None:
    prediction_id = PredictionId.new(new_batch_id(), 513)
    assert PredictionId.parse(str(prediction_id)) == prediction_id


def test_id_starts_with_its_batch_id_and_is_url_safe() -> None:
    batch_id = new_batch_id()
    text = str(PredictionId.new(batch_id, 0))
    assert text.startswith(batch_id)
    assert len(text) == 40
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")


def test_batch_ids_and_secrets_are_unique() -> None:
    batch_id = new_batch_id()
    assert len({PredictionId.new(batch_id, 0).secret for _ in range(1000)}) == 1000
    assert len({new_batch_id() for _ in range(1000)}) == 1000


def test_age_of_a_new_id_is_about_zero() -> None:
    assert 0 <= PredictionId.new(new_batch_id(), 0).age_seconds < patience()


@pytest.mark.parametrize(
    "text", ["", "x", "ä" * 40, "=" * 40, " " * 40, "A" * 39, "A" * 41, "A" * 36 + "\n\n\n\n", "+" * 40]
)
def test_invalid_id_is_not_found(text: str) -> None:
    with pytest.raises(PredictionNotFound):
        PredictionId.parse(text)


def test_only_the_highest_index_spans_batches() -> None:
    assert PredictionId.new(new_batch_id(), SPANNING).spans_batches
    assert not PredictionId.new(new_batch_id(), SPANNING - 1).spans_batches


def test_child_id_contains_the_parents_id_and_the_index() -> None:
    parent = new_batch_id()
    assert parse_child_id(child_id(parent, 17)) == (parent, 17)
    assert parse_child_id(parent) is None
