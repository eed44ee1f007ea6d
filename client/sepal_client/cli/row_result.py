"""Prints the result of one row: on a terminal with the probability of each class, otherwise as plain values."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sepal_client.cli import report
from sepal_client.cli.terminal import BOLD, GREEN, align_table, apply_style, escape_controls, print_lines

if TYPE_CHECKING:
    from sepal_client.model import Model
    from sepal_client.result import Result

_BAR_WIDTH: Final = 24
_SHOWN_CLASSES: Final = 20
_PROBABILITIES: Final = ("proba", "log_proba")


def show_result(result: "Result", model: "Model", *, as_json: bool, has_chosen_outputs: bool) -> None:
    """Print the result of one row.

    Args:
        result: the result of one row.
        model: the model that made it.
        as_json: print the whole result as JSON.
        has_chosen_outputs: whether outputs were requested by name; otherwise only the prediction is printed to a pipe.
    """
    values = {name: items[0] for name, items in result.outputs.items()}
    if as_json:
        report.print_json(_result_body(result))
    elif sys.stdout.isatty():
        print_lines(_terminal_lines(values, model))
    elif has_chosen_outputs or "prediction" not in values:
        print_lines(["\t".join([name, *_value_texts(value)]) for name, value in values.items()])
    else:
        print_lines(["\t".join(_value_texts(values["prediction"]))])


def _result_body(result: "Result") -> Mapping[str, Any]:
    ref = result.model
    return {
        **result.outputs,
        "id": result.id,
        "model": {"name": ref.name, "version": ref.version, "digest": ref.digest},
        "queue_ms": result.queue_ms,
        "predict_ms": result.predict_ms,
    }


def _terminal_lines(values: Mapping[str, Any], model: "Model") -> list[str]:
    lines = []
    if "prediction" in values:
        lines.append(apply_style(escape_controls(", ".join(_value_texts(values["prediction"]))), f"{BOLD};{GREEN}"))
    name = next((name for name in _PROBABILITIES if name in values), None)
    if name is not None:
        for classes, probabilities in _split_by_target(model.classes or (), values[name], name):
            lines += ["", *_probability_table(classes, probabilities)]
    others = [key for key in values if key != "prediction" and key not in _PROBABILITIES]
    return lines + [f"{apply_style(key, BOLD)}  {'  '.join(_value_texts(values[key]))}" for key in others]


def _split_by_target(
    classes: Sequence[Any], values: Any, output_name: str
) -> list[tuple[Sequence[Any], Sequence[float]]]:
    """Return the classes and probabilities of each target."""
    several = bool(values) and isinstance(values[0], list)
    pairs = [*zip(classes, values, strict=True)] if several else [(classes, values)]
    return [(labels, [math.exp(p) if output_name == "log_proba" else p for p in items]) for labels, items in pairs]


def _probability_table(classes: Sequence[Any], probabilities: Sequence[float]) -> list[str]:
    """Return a table with a line for each class, the most probable first."""
    order = sorted(range(len(classes)), key=lambda i: -probabilities[i])[:_SHOWN_CLASSES]
    rows = [
        (_value_text(classes[i]), f"{probabilities[i]:.1%}", "━" * round(_BAR_WIDTH * probabilities[i])) for i in order
    ]
    left = len(classes) - len(order)
    more = [f"and {left} more classes"] if left else []
    return [*align_table(("class", "probability", ""), rows, right_columns=frozenset({1})), *more]


def _value_texts(value: Any) -> list[str]:
    return [_value_text(item) for item in value] if isinstance(value, list) else [_value_text(value)]


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
