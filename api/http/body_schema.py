"""The JSON schemas of request bodies, with the columns of the current model, and examples of valid bodies."""

import sys
from typing import Any, Final

from api.http.schemas import schema_reference
from api.http.values import MAX_FLOAT32
from shared.card import ModelCard
from shared.columns import (
    FLOAT_TYPES,
    INTEGER_RANGES,
    UNIT_DIGITS,
    Column,
    ModelInput,
    Seen,
    Unit,
    Value,
    Values,
    ValueType,
)
from shared.names import Output

Schema = dict[str, Any]

_DATE_PATTERN: Final = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_SHOWN_COUNTS: Final = 5
PREDICT_BODY: Final = "PredictBody"  # of POST /predict
UPLOAD_BODY: Final = "UploadBody"  # of POST /predictions


def body_schemas(card: ModelCard | None, max_rows: int) -> dict[str, Schema]:
    """Return the schemas of the bodies of `POST /predict` (at most `max_rows`) and `POST /predictions`, and of rows."""
    rows = _row_schemas(card)
    return {
        PREDICT_BODY: _body_schema(card, list(rows), {"maxItems": max_rows}),
        UPLOAD_BODY: _body_schema(card, list(rows), {}),
        **rows,
    }


def _row_schemas(card: ModelCard | None) -> dict[str, Schema]:
    if card is None:
        return {"Row": {"type": ["array", "object", "string"], "items": {}}}
    if card.input.kind == "text":
        return {"Row": _column_schema(card.input.columns[0])}
    return {"RowAsArray": _array_schema(card.input), "RowAsObject": _object_schema(card.input)}


def _body_schema(card: ModelCard | None, row_schema_names: list[str], max_items: Schema) -> Schema:
    data: Schema = {
        "type": "array",
        "minItems": 1,
        **max_items,
        "items": schema_reference(row_schema_names[0])
        if len(row_schema_names) == 1
        else {"anyOf": [schema_reference(name) for name in row_schema_names]},
        "description": "Rows, as arrays of values in the order of GET /model, as objects by column name, or as texts.",
    }
    if len(row_schema_names) > 1:  # all rows of a body have the same form
        data |= {"if": {"contains": {"type": "array"}}, "then": {"items": {"type": "array"}}}
    properties = {"data": data, "outputs": _outputs_schema(card)}
    return {"type": "object", "required": ["data"], "properties": properties, "additionalProperties": False}


def _outputs_schema(card: ModelCard | None) -> Schema:
    schema = {"type": "array", "items": schema_reference(Output.__name__), "minItems": 1, "uniqueItems": True}
    if card is None:
        return schema
    default = ", ".join(card.default_outputs)
    schema["items"] = schema_reference(Output.__name__) | {"enum": list(card.outputs)}
    return schema | {"description": f"The outputs to return, instead of {default}."}


def body_examples(card: ModelCard) -> Schema:
    """Return example bodies with the card's example rows, one for each form of row that the model accepts."""
    if card.input.kind == "text":
        return {"texts": {"summary": "Each row is a text", "value": {"data": list(card.example)}}}
    names = [column.name for column in card.input.columns]
    by_name = [dict(zip(names, row, strict=True)) for row in card.example]
    return {
        "arrays": {"summary": "Each row is an array", "value": {"data": [list(row) for row in card.example]}},
        "objects": {"summary": "Each row is an object by column name", "value": {"data": by_name}},
    }


def _array_schema(model_input: ModelInput) -> Schema:
    columns = model_input.columns
    schemas = [_column_schema(column) for column in columns]
    length = {"minItems": len(columns), "maxItems": len(columns)}
    return {"type": "array", "prefixItems": schemas, **length}


def _object_schema(model_input: ModelInput) -> Schema:
    columns = model_input.columns
    return {
        "type": "object",
        "properties": {column.name: _column_schema(column) for column in columns},
        "required": [column.name for column in columns if not column.nullable],
        "additionalProperties": False,
    }


def _column_schema(column: Column) -> Schema:
    schema = _category_schema(column) if column.categories is not None else _value_schema(column)
    schema |= {"title": column.name, "description": _column_description(column)}
    if column.nullable:
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        schema["type"] = [schema["type"], "null"]
    return schema


def _category_schema(column: Column) -> Schema:
    assert column.categories is not None, "called for categorical columns"
    return _value_schema(column.categories) | {"enum": list(column.categories.values)}


def _value_schema(values: Values) -> Schema:
    if values.type is ValueType.FLOAT32:
        return {"type": "number", "exclusiveMinimum": -MAX_FLOAT32, "exclusiveMaximum": MAX_FLOAT32}
    if values.type in FLOAT_TYPES:
        return {"type": "number", "minimum": -sys.float_info.max, "maximum": sys.float_info.max}
    if values.type in INTEGER_RANGES:
        smallest, largest = INTEGER_RANGES[values.type]
        return {"type": "integer", "minimum": smallest, "maximum": largest}
    if values.type is ValueType.BOOL:
        return {"type": "boolean"}
    if values.type is ValueType.DATE:
        return {"type": "string", "format": "date"}
    if values.type is ValueType.DATETIME:
        return {"type": "string", "pattern": _datetime_pattern(values)}
    return {"type": "string"}


def _datetime_pattern(values: Values) -> str:
    """Return a pattern whose matches are all accepted: days up to 28, and years in the range of every unit."""
    digits = UNIT_DIGITS[values.unit or Unit.NANOSECOND]
    fraction = rf"(\.[0-9]{{1,{digits}}})?" if digits else ""
    time = rf"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]{fraction}"
    day = _DATE_PATTERN.replace("[0-9]{4}", "(1[7-9]|2[01])[0-9]{2}")
    return f"^{day}T{time}{'(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])' if values.time_zone else ''}$"


def _column_description(column: Column) -> str:
    parts = [column.type.value + (", or null" if column.nullable else "")]
    if column.time_zone:
        parts.append(f"converted to {column.time_zone}")
    return "; ".join([*parts, *_training_descriptions(column.seen)]) + "."


def _training_descriptions(statistics: Seen | None) -> list[str]:
    if statistics is None:
        return []
    parts = []
    if statistics.minimum is not None:
        parts.append(f"{statistics.minimum} to {statistics.maximum} in training")
    if statistics.counts:
        shown: list[Value] = [value for value, _ in statistics.counts[:_SHOWN_COUNTS]]
        parts.append("most frequent in training: " + ", ".join(map(str, shown)))
    if statistics.missing:
        parts.append(f"{statistics.missing:.1%} missing in training")
    return parts
