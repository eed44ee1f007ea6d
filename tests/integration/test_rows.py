"""Rows of every kind of model at a real gateway: the schema, its examples, and refused rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bodies import MALFORMED, an_object, array, body, refusals
from tests.documentation import Documentation
from tests.fuzz.run import TOKEN, fuzz
from tests.served_models import save_model
from tests.stack import Gateway, Stack, running_stack, wait_for
from training.recipes import RECIPES

MODELS: Final = ("iris", "penguins", "typed", "texts")
JSON: Final = {"Content-Type": "application/json"}


def contents(stack: Stack) -> tuple[set[Any], dict[Any, Any]]:
    """Return the keys in the store, and the backlog's counts."""
    return set(stack.redis.scan_iter()), stack.redis.hgetall("sepal:backlog")


@pytest.fixture(scope="module", params=MODELS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, trained_dir: Path
) -> Iterator[tuple[Stack, Gateway]]:
    """A stack that serves a model; its name is the parameter."""
    folder = tmp_path_factory.mktemp(request.param)
    models_dir = trained_dir if request.param in RECIPES else folder / "models"
    with running_stack(folder, save_model(models_dir, request.param), operator_token=TOKEN) as running:
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The name of the served model."""
    name: str = request.node.callspec.params["served"]
    return name


def request_body(schema: Any) -> Any:
    """Return the description of the body of `POST /predict`."""
    return schema["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]


def test_examples_of_the_schema_are_answered(served: tuple[Stack, Gateway]) -> None:
    examples = request_body(served[1].client.get("/openapi.json").json())["examples"]
    answers = [served[1].client.post("/predict", json=example["value"]) for example in examples.values()]
    assert {answer.status_code for answer in answers} == {200}
    assert len({str(answer.json()["prediction"]) for answer in answers}) == 1


def test_schema_names_every_column_of_the_card(served: tuple[Stack, Gateway], name: str) -> None:
    columns = served[1].client.get("/model").json()["input"]["columns"]
    schema = served[1].client.get("/openapi.json").json()
    documentation = Documentation(schema)
    rows = documentation.resolved(request_body(schema)["schema"])["properties"]["data"]["items"]
    if name == "texts":
        assert documentation.resolved(rows)["title"] == columns[0]["name"]
        return
    arrays, objects = (documentation.resolved(form) for form in rows["anyOf"])
    assert [each["title"] for each in arrays["prefixItems"]] == [column["name"] for column in columns]
    assert objects["required"] == [column["name"] for column in columns if not column["nullable"]]
    for column in columns:
        described = objects["properties"][column["name"]]
        assert ("null" in described["type"]) is column["nullable"]
        assert column["type"] in described["description"]


def test_refused_bodies_leave_nothing_in_the_store(served: tuple[Stack, Gateway], name: str) -> None:
    stack, gateway = served
    wait_for(lambda: not list(stack.redis.scan_iter("sepal:unacked*")), "the acknowledgement of earlier messages")
    keys, backlog = contents(stack)
    for refusal in (each for each in refusals() if each.model == name):
        response = gateway.client.post("/predict", content=refusal.body, headers=JSON)
        assert (response.status_code, response.json()["code"]) == (422, "invalid-rows"), refusal
        details = [error["detail"] for error in response.json()["errors"] if error["pointer"] == refusal.pointer]
        assert any(all(words in detail for words in refusal.words) for detail in details), response.text
    for content, words in ((content, words) for model, content, words in MALFORMED if model == name):
        response = gateway.client.post("/predict", content=content, headers=JSON)
        assert (response.status_code, response.json()["code"]) == (400, "malformed-json"), content
        assert words in response.json()["detail"]
    left, backlog_left = contents(stack)
    assert left <= keys  # a record of an earlier test may have expired
    assert backlog_left == backlog


def test_refusal_of_thousands_of_unknown_columns_is_short(served: tuple[Stack, Gateway]) -> None:
    unknown = body("{" + ",".join(f'"column {number}":0' for number in range(50_000)) + "}")
    response = served[1].client.post("/predict", content=unknown, headers=JSON)
    assert response.status_code == 422
    assert len(response.content) < 100_000


@pytest.mark.parametrize("served", ["penguins", "typed"], indirect=True)
def test_form_of_the_rows_does_not_matter(served: tuple[Stack, Gateway], name: str) -> None:
    answers = [
        served[1].client.post("/predict", content=body(row, row), headers=JSON).json()
        for row in (array(name), an_object(name))
    ]
    assert answers[0]["prediction"] == answers[1]["prediction"]


@pytest.mark.parametrize("served", ["penguins", "typed", "texts"], indirect=True)  # iris: see test_schema.py
def test_schemathesis_finds_nothing(served: tuple[Stack, Gateway], tmp_path: Path) -> None:
    # Of the operations, this one depends on the model. `make fuzz` runs all phases on all of them.
    options = ("--generation-deterministic", "--include-path=/predict", "--phases=examples,fuzzing")
    findings = fuzz(served[1].port, tmp_path, *options, examples=10)
    assert findings.failures == findings.errors == 0, findings.text
    assert findings.cases > 10
