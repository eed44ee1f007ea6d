"""The OpenAPI schema of the gateway, with the limits that it checks and example rows of the current model."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.http import parameters, problem_schemas, response_headers
from api.http.body_schema import PREDICT_BODY, UPLOAD_BODY, body_examples, body_schemas
from api.http.operations import SECURITY_SCHEMES
from api.http.schemas import PredictionStatus, Problem, schema_reference
from shared.card import ModelCard

_REFERENCED_MODELS: Final = (Problem, PredictionStatus)
"""Models that only references name, so that FastAPI does not add their schemas."""


def make_schema(app: FastAPI, card: ModelCard | None, max_rows: int) -> dict[str, Any]:
    """Return the OpenAPI schema for a model; without a card, it accepts any row and has no example rows."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _add_row_schemas(schema, card, max_rows)
    _add_shared_components(schema)
    return schema


def _add_row_schemas(schema: dict[str, Any], card: ModelCard | None, max_rows: int) -> None:
    schema["components"]["schemas"] |= body_schemas(card, max_rows)
    for path, name in (("/predict", PREDICT_BODY), ("/predictions", UPLOAD_BODY)):
        body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        body["schema"] = schema_reference(name)
        if card is not None:  # without a card, no example row is known
            body["examples"] = body_examples(card)


def _add_shared_components(schema: dict[str, Any]) -> None:
    components = schema["components"]
    components["schemas"] |= _referenced_schemas()
    components["securitySchemes"] = SECURITY_SCHEMES
    components["parameters"] = {"RequestId": parameters.REQUEST_ID}
    components["headers"] = {"RequestId": response_headers.REQUEST_ID}
    refusals = {str(status): response for status, response in problem_schemas.PROTOCOL_ERRORS.items()}
    components["responses"] = refusals
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for operations in schema["paths"].values():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]  # FastAPI adds this response to every operation with a parameter
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestId"})
            for response in operation["responses"].values():
                response.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/RequestId"}
            operation["responses"] |= {status: {"$ref": f"#/components/responses/{status}"} for status in refusals}


def _referenced_schemas() -> dict[str, Any]:
    _, schema = models_json_schema(
        [(model, "serialization") for model in _REFERENCED_MODELS], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions
