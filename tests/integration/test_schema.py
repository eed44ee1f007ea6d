"""The OpenAPI schema and the gateway agree."""

import re
from pathlib import Path
from typing import Any

import pytest

from api.http.parameters import BATCH_ID_PATTERN
from api.http.problems import STATUS_BY_CODE
from api.http.schemas import ID_PATTERN
from api.settings import GatewaySettings
from shared.ids import SPANNING, PredictionId, child_id, new_batch_id
from tests.fuzz.run import TOKEN, fuzz
from tests.stack import Gateway, Stack, listens, wait_for

MAX_ROWS = 50  # with 10,000, schemathesis spends most of the time on drawing rows


@pytest.fixture(scope="module")
def gateway(iris_stack: tuple[Stack, Gateway]) -> Gateway:
    """A gateway with an operator token and few rows per prediction."""
    return iris_stack[0].start_gateway(operator_token=TOKEN, max_rows=MAX_ROWS).wait_until_ready()


@pytest.fixture(scope="module")
def schema(gateway: Gateway) -> Any:
    return gateway.client.get("/openapi.json").json()


def rows_of(schema: Any) -> Any:
    """Return the schema of `data` in the body of `POST /predict`."""
    return schema["components"]["schemas"]["PredictBody"]["properties"]["data"]


def test_schemathesis_finds_nothing(gateway: Gateway, tmp_path: Path) -> None:
    findings = fuzz(gateway.port, tmp_path, "--generation-deterministic", examples=5)
    assert findings.are_none, findings.text
    assert findings.cases > 250


def test_schema_of_rows_follows_the_served_model(schema: Any, breast_cancer: Gateway) -> None:
    other = breast_cancer.client.get("/openapi.json").json()
    for described, n_columns, max_rows in ((schema, 4, MAX_ROWS), (other, 30, GatewaySettings().max_rows)):
        assert rows_of(described)["maxItems"] == max_rows
        arrays, objects = (described["components"]["schemas"][f"RowAs{form}"] for form in ("Array", "Object"))
        assert arrays["minItems"] == arrays["maxItems"] == n_columns
        assert len(objects["required"]) == n_columns


def test_schema_is_valid_while_no_model_is_known(stack: Stack) -> None:
    gateway = stack.start_gateway(max_rows=7)
    wait_for(lambda: listens(gateway.port), "a gateway without a broker")
    described = gateway.client.get("/openapi.json").json()
    assert rows_of(described)["maxItems"] == 7
    assert "minItems" not in described["components"]["schemas"]["Row"]
    assert "example" not in described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]


def test_allow_lists_every_method_of_a_path(gateway: Gateway, schema: Any) -> None:
    for path, operations in schema["paths"].items():
        refused = gateway.client.request("PUT", path.format(prediction_id="x", batch_id="x"))
        assert refused.status_code == 405
        methods = {method.upper() for method in operations} | {"OPTIONS"}
        assert set(refused.headers["Allow"].split(", ")) == methods | ({"HEAD"} if "GET" in methods else set())


def test_every_error_code_is_in_the_schema(schema: Any) -> None:
    # Codes in `reasons` of `/readyz`, and in the `error` of a failed bulk prediction.
    only_reasons = {"no-worker", "stalled", "rows-lost"}
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    responses = [response for operation in operations for response in operation["responses"].values()]
    described = {
        code
        for response in (*responses, *schema["components"]["responses"].values())
        for media in response.get("content", {}).values()
        for code in media.get("schema", {}).get("properties", {}).get("code", {}).get("enum", ())
    }
    assert described == set(STATUS_BY_CODE) - only_reasons | {"not-found", "method-not-allowed"}


def test_accepted_prediction_is_linked_to_its_result(schema: Any) -> None:
    operations = {
        operation["operationId"]: path + " " + method
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    for status in ("200", "202"):
        links = schema["paths"]["/predict"]["post"]["responses"][status]["links"]
        linked = {operations[link["operationId"]] for link in links.values()}
        assert linked == {"/results/{prediction_id} get", "/results/{prediction_id} delete"}


def test_ids_match_the_patterns_of_the_schema() -> None:
    for index in (0, SPANNING):
        assert re.search(ID_PATTERN, str(PredictionId.new(new_batch_id(), index)))
    for batch_id in (new_batch_id(), child_id(new_batch_id(), 12)):
        assert re.search(BATCH_ID_PATTERN, batch_id)


@pytest.mark.parametrize("query", ["offset=-1", "limit=0", "limit=1001", "offset=1000000001", "limit=x"])
def test_invalid_query_parameter_is_named_in_the_problem(gateway: Gateway, query: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    response = gateway.client.get(f"/dead-letters?{query}", headers=headers)
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "invalid-parameter"
    assert f"`{query.partition('=')[0]}`" in response.json()["detail"]
