"""The OpenAPI schema of every kind of model."""

import compileall
from pathlib import Path
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from api.app import create_hot_path
from api.http import openapi
from api.http.methods import HeadAndOptions
from api.settings import GatewaySettings
from shared.card import ModelCard
from tests.generated_client import generate
from tests.unit.api.http.cards import CARDS

MAX_ROWS = 7


def schema_of(card: ModelCard | None) -> Any:
    methods = cast(HeadAndOptions, create_hot_path(GatewaySettings()).framework)
    return openapi.make_schema(methods._app, card, MAX_ROWS)


@pytest.fixture(scope="module")
def schema() -> Any:
    return schema_of(CARDS["typed"])


def validator_of(schema: Any, name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": schema["components"]})


@pytest.mark.parametrize("name", [*CARDS, None])
def test_client_is_generated_without_a_warning(tmp_path: Path, name: str | None) -> None:
    generate(schema_of(CARDS[name] if name else None), tmp_path / "generated")
    assert compileall.compile_dir(tmp_path, quiet=1)


def test_operations_are_named_for_what_they_do(schema: Any) -> None:
    assert {operation["operationId"] for path in schema["paths"].values() for operation in path.values()} == {
        *("predict", "get_result", "cancel_prediction", "follow_prediction", "upload_rows", "list_predictions"),
        *("get_model", "get_status", "livez", "readyz", "get_metrics"),
        *("list_dead_letters", "get_dead_letter", "replay_dead_letter", "discard_dead_letter"),
    }


def test_all_json_of_responses_is_described(schema: Any) -> None:
    for path in schema["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                for media_type, content in response.get("content", {}).items():
                    assert "json" not in media_type or content["schema"], operation["operationId"]


def test_model_card_fits_its_description(schema: Any) -> None:
    for card in CARDS.values():
        validator_of(schema, "ModelCard").validate(card.model_dump(mode="json"))
    columns = schema["components"]["schemas"]["Column"]["properties"]
    assert {"name", "type", "nullable", "categories", "seen"} <= columns.keys()


@pytest.mark.parametrize(
    ("rows", "is_valid"),
    [
        pytest.param([[1, 2, 3, 4]], True, id="an array"),
        pytest.param([[1, 2, 3, 4]] * 7, True, id="as many as allowed"),
        pytest.param([[1, 2, 3, 4]] * 8, False, id="too many"),
        pytest.param([], False, id="none"),
        pytest.param([[1, 2, 3]], False, id="a value too few"),
        pytest.param([[1, 2, 3, 4, 5]], False, id="a value too many"),
        pytest.param([[1, 2, 3, None]], False, id="a missing value"),
        pytest.param([{"a": 1}], False, id="an object without the columns"),
    ],
)
def test_body_is_described_as_it_is_checked(rows: Any, is_valid: bool) -> None:
    schema = schema_of(CARDS["iris"])
    assert validator_of(schema, "PredictBody").is_valid({"data": rows}) is is_valid


def test_rows_of_a_body_have_one_form() -> None:
    card = CARDS["iris"]
    validator = validator_of(schema_of(card), "PredictBody")
    array = [1.0] * 4
    by_name = dict.fromkeys([column.name for column in card.input.columns], 1.0)
    for rows, is_valid in (([by_name, by_name], True), ([array, array], True), ([array, by_name], False)):
        assert validator.is_valid({"data": rows}) is is_valid
        assert validator.is_valid({"data": rows[::-1]}) is is_valid
    assert validator_of(schema_of(card), "UploadBody").is_valid({"data": [by_name] * 8})
