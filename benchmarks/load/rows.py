"""Draws random rows that resemble a model's training data, from the model card that GET /model returns."""

import random
from collections.abc import Callable
from typing import Any

Draw = Callable[[], Any]


def row_drawer(card: dict[str, Any]) -> Draw:
    """Return a function that draws a row at each call: an array of values, or a text."""
    columns = card["input"]["columns"]
    if card["input"]["kind"] == "text":
        return lambda: random.choice(card["example"])  # noqa: S311
    draws = [_value_drawer(column, [row[index] for row in card["example"]]) for index, column in enumerate(columns)]
    return lambda: [draw() for draw in draws]


def _value_drawer(column: dict[str, Any], examples: list[Any]) -> Draw:
    seen = column.get("seen", {})
    draw_present = _present_value_drawer(column["type"], seen, examples)
    share = seen.get("missing", 0) if column["nullable"] else 0
    return lambda: None if random.random() < share else draw_present()  # noqa: S311


def _present_value_drawer(value_type: str, statistics: dict[str, Any], examples: list[Any]) -> Draw:
    if value_type.startswith("float") and "quantiles" in statistics:
        low, *_, high = statistics["quantiles"]
        return lambda: random.uniform(low, high)  # noqa: S311
    if "int" in value_type and "minimum" in statistics:
        return lambda: random.randint(statistics["minimum"], statistics["maximum"])  # noqa: S311
    if statistics.get("counts"):
        values, counts = zip(*statistics["counts"], strict=True)
        return lambda: random.choices(values, counts)[0]  # noqa: S311
    return lambda: random.choice(examples)  # noqa: S311
