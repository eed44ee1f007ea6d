"""Draws random rows that resemble a model's training data, from the model card that GET /model returns."""

import random
from collections.abc import Callable
from typing import Any

Draw = Callable[[], Any]


def row_source(card: dict[str, Any]) -> Draw:
    """Return a function that draws a row at each call: an array of values, or a text."""
    columns = card["input"]["columns"]
    if card["input"]["kind"] == "text":
        return lambda: random.choice(card["example"])  # noqa: S311
    draws = [_value_source(column, [row[index] for row in card["example"]]) for index, column in enumerate(columns)]
    return lambda: [draw() for draw in draws]


def _value_source(column: dict[str, Any], examples: list[Any]) -> Draw:
    seen = column.get("seen", {})
    draw_present = _present_source(column["type"], seen, examples)
    share = seen.get("missing", 0) if column["nullable"] else 0
    return lambda: None if random.random() < share else draw_present()  # noqa: S311


def _present_source(value_type: str, seen: dict[str, Any], examples: list[Any]) -> Draw:
    if value_type.startswith("float") and "quantiles" in seen:
        low, *_, high = seen["quantiles"]
        return lambda: random.uniform(low, high)  # noqa: S311
    if "int" in value_type and "minimum" in seen:
        return lambda: random.randint(seen["minimum"], seen["maximum"])  # noqa: S311
    if seen.get("counts"):
        values, counts = zip(*seen["counts"], strict=True)
        return lambda: random.choices(values, counts)[0]  # noqa: S311
    return lambda: random.choice(examples)  # noqa: S311
