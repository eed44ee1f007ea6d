"""The member `outputs` is checked against the model's outputs, with the same result in both readers of a body."""

import json
from typing import Any

import pytest

from api.http.rows import BodyReader
from shared.card import ModelCard
from shared.columns import ValueType
from shared.errors import InvalidRows
from shared.names import Output
from tests.unit.api.http.cards import CARDS, column
from tests.unit.api.http.cards import card as made_card

OUTPUTS = (Output.PREDICTION, Output.LOG_PROBA, Output.PROBA)
MATRIX = CARDS["iris"].model_copy(update={"outputs": OUTPUTS})
TEXTS = CARDS["texts"].model_copy(update={"outputs": OUTPUTS})
ROW = [1, 2, 3, 4]
BY_NAME = dict(zip((column.name for column in MATRIX.input.columns), ROW, strict=True))
BODIES = [(MATRIX, ROW), (MATRIX, BY_NAME), (TEXTS, "outputs")]


def read(card: ModelCard, body: Any) -> tuple[Output, ...]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return BodyReader(10, 1000)(content, card).outputs


@pytest.mark.parametrize(("card", "row"), BODIES)
@pytest.mark.parametrize("outputs", [["proba"], ["proba", "prediction"], ["log_proba", "prediction"]])
def test_outputs_keep_their_order(card: ModelCard, row: Any, outputs: list[str]) -> None:
    assert read(card, {"data": [row], "outputs": outputs}) == tuple(outputs)
    assert read(card, {"outputs": outputs, "data": [row]}) == tuple(outputs)


@pytest.mark.parametrize(("card", "row"), BODIES)
def test_default_outputs_are_not_recorded(card: ModelCard, row: Any) -> None:
    assert read(card, {"data": [row]}) == ()
    assert read(card, {"data": [row], "outputs": ["prediction", "log_proba"]}) == ()


@pytest.mark.parametrize(("card", "row"), BODIES)
@pytest.mark.parametrize(
    ("outputs", "pointer", "words"),
    [
        ([], "/outputs", "it is empty"),
        (None, "/outputs", "null is not"),
        ("proba", "/outputs", '"proba" is not'),
        ({"proba": True}, "/outputs", "an object is not"),
        (["probability"], "/outputs/0", '"probability" is not an output of this model, which has prediction'),
        (["proba", "leaves"], "/outputs/1", '"leaves" is not an output of this model'),
        (["proba", 1], "/outputs/1", "1 is not an output"),
        (["proba", ["proba"]], "/outputs/1", "an array is not an output"),
        (["proba", "prediction", "proba"], "/outputs/2", '"proba" is repeated'),
        (["proba"] * 1000, "/outputs/1", '"proba" is repeated'),
    ],
)
def test_refusal_names_the_place_and_the_outputs(
    card: ModelCard, row: Any, outputs: Any, pointer: str, words: str
) -> None:
    with pytest.raises(InvalidRows) as refused:
        read(card, {"data": [row], "outputs": outputs})
    fault = refused.value.faults[0]
    assert fault.pointer == pointer
    assert words in fault.detail
    assert len(refused.value.faults) <= len(OUTPUTS)


@pytest.mark.parametrize(("card", "row"), BODIES)
def test_repeated_outputs_are_refused(card: ModelCard, row: Any) -> None:
    body = b'{"outputs": ["proba"], "data": [%b], "outputs": ["proba"]}' % json.dumps(row).encode()
    with pytest.raises(InvalidRows) as refused:
        read(card, body)
    assert [fault.pointer for fault in refused.value.faults] == ["/outputs"]


@pytest.mark.parametrize("name", ["text", "outputs"])
@pytest.mark.parametrize("asked_for", [None, ["proba"]])
def test_the_word_may_be_a_value_or_the_name_of_a_column(name: str, asked_for: list[str] | None) -> None:
    one_text = made_card("table", column(name, ValueType.STRING)).model_copy(update={"outputs": OUTPUTS})
    outputs = {} if asked_for is None else {"outputs": asked_for}
    for row in (["outputs"], {name: "outputs"}):
        assert read(one_text, {"data": [row], **outputs}) == tuple(asked_for or ())
