"""The columns as the model page shows them: a description of each, and the form control for its value."""

import json
from typing import Final, Literal, NamedTuple

from api.http.values import expected_values
from shared.card import ModelCard
from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Column, Seen, Unit, Value, Values, ValueType

_SHOWN_VALUES: Final = 8
_LONG_TEXT_CHARACTERS: Final = 80  # characters that fit into one line of the form
_BOOLEANS: Final = (True, False)
_UNITS: Final = {
    Unit.SECOND: "second",
    Unit.MILLISECOND: "millisecond",
    Unit.MICROSECOND: "microsecond",
    Unit.NANOSECOND: "nanosecond",
}


class Option(NamedTuple):
    """An option of a select control."""

    text: str
    json: str
    is_selected: bool


class BoxPlot(NamedTuple):
    """The quantiles of a box plot, as positions between the smallest value (0) and the largest (100)."""

    lower: float
    first_quartile: float
    median: float
    third_quartile: float
    upper: float


class TrainingSummary(NamedTuple):
    """A summary of a column in the training data, as formatted strings."""

    extent: str
    """The smallest and the largest value, or the maximum length of strings; empty if neither is known."""
    box: BoxPlot | None
    frequent: list[tuple[str, int]]
    """The most frequent values and their row counts."""
    more: int
    """The number of other values that were counted."""
    missing: str
    """The share of missing values."""


class Field(NamedTuple):
    """A column of the model, and its form control."""

    name: str
    type: str
    hint: str
    is_nullable: bool
    categories: list[str]
    training: TrainingSummary | None
    control: Literal["select", "line", "lines"]
    sends: Literal["json", "number", "text"]
    """How the value of the control is sent: as JSON, as the number that was typed, or as a string."""
    keyboard: Literal["numeric", "decimal", "text"]
    """The keyboard that a phone shows; those for numbers have no minus sign."""
    value: str
    """The value in the example row; empty if it is missing."""
    options: list[Option]
    """The options of a select control."""


def make_fields(card: ModelCard) -> list[Field]:
    """Describe the columns of a model, with the values of its first example row."""
    example = card.example[0]
    values = (example,) if isinstance(example, str) else example
    is_text = card.input.kind == "text"
    return [_make_field(column, value, is_text) for column, value in zip(card.input.columns, values, strict=True)]


def format_value(value: Value | None) -> str:
    """Return a string unchanged, and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def format_count(number: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2,000 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _make_field(column: Column, value: Value | None, is_text: bool) -> Field:
    options = _select_options(column, value)
    is_number = column.type in FLOAT_TYPES or column.type in INTEGER_RANGES
    filled = "" if value is None else format_value(value)
    is_long = (
        is_text or (column.seen is not None and (column.seen.longest or 0) > _LONG_TEXT_CHARACTERS) or "\n" in filled
    )
    return Field(
        name=column.name,
        type=_type_text(column),
        hint=_hint_text(column),
        is_nullable=column.nullable,
        categories=[format_value(each) for each in column.categories.values] if column.categories else [],
        training=_training_summary(column.seen) if column.seen else None,
        control="select" if options else "lines" if is_long else "line",
        sends="json" if options else "number" if is_number else "text",
        keyboard=_keyboard_type(column),
        value=filled,
        options=options,
    )


def _select_options(column: Column, selected_value: Value | None) -> list[Option]:
    """List the values that can be selected; empty for a column whose values are typed."""
    known: tuple[Value, ...] = _BOOLEANS if column.type is ValueType.BOOL else ()
    if column.categories is not None:
        known = column.categories.values
    options = [Option(format_value(each), json.dumps(each), each == selected_value) for each in known]
    return [Option("missing", "null", selected_value is None), *options] if options and column.nullable else options


def _type_text(values: Values) -> str:
    if isinstance(values, Column) and values.categories is not None:
        order = ", ordered" if values.categories.ordered else ""
        return f"category of {_type_text(values.categories)}{order}"
    parts = [values.type.value]
    if values.unit is not None:
        parts.append(f"to the {_UNITS[values.unit]}")
    if values.time_zone is not None:
        parts.append(f"converted to {values.time_zone}")
    return ", ".join(parts)


def _hint_text(column: Column) -> str:
    parts = []
    if column.type in {ValueType.DATE, ValueType.DATETIME}:
        parts.append(expected_values(column))
    elif column.type in FLOAT_TYPES or column.type in INTEGER_RANGES:
        parts.append(f"{extent} in training" if (extent := _extent_text(column.seen)) else expected_values(column))
    if column.nullable and column.categories is None and column.type is not ValueType.BOOL:
        parts.append("leave empty if missing")
    return "; ".join(parts)


def _keyboard_type(column: Column) -> Literal["numeric", "decimal", "text"]:
    smallest = column.seen.minimum if column.seen else None
    is_negative = not isinstance(smallest, int | float) or smallest < 0
    if column.type in INTEGER_RANGES:
        return "text" if is_negative and INTEGER_RANGES[column.type][0] < 0 else "numeric"
    return "decimal" if column.type in FLOAT_TYPES and not is_negative else "text"


def _training_summary(statistics: Seen) -> TrainingSummary:
    counts = statistics.counts or ()
    return TrainingSummary(
        extent=_extent_text(statistics)
        + (f", median {_format_number(statistics.quantiles[2])}" if statistics.quantiles else ""),
        box=_box_plot(statistics),
        frequent=[(format_value(value), count) for value, count in counts[:_SHOWN_VALUES]],
        more=max(0, len(counts) - _SHOWN_VALUES),
        missing=_format_share(statistics.missing),
    )


def _extent_text(statistics: Seen | None) -> str:
    if statistics is None:
        return ""
    if statistics.minimum is not None and statistics.maximum is not None:
        return f"{_format_number(statistics.minimum)} to {_format_number(statistics.maximum)}"
    is_free_text = statistics.longest is not None and statistics.counts is None
    return f"up to {format_count(statistics.longest or 0, 'character')}" if is_free_text else ""


def _box_plot(statistics: Seen) -> BoxPlot | None:
    smallest, largest = statistics.minimum, statistics.maximum
    if not (isinstance(smallest, int | float) and isinstance(largest, int | float) and statistics.quantiles):
        return None
    span = float(largest) / 2 - float(smallest) / 2  # halves, because the span of two floats can be infinite
    if span <= 0:
        return None
    return BoxPlot(*(round(100 * ((each / 2 - float(smallest) / 2) / span), 1) for each in statistics.quantiles))


def _format_number(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else format_value(value)


def _format_share(share: float) -> str:
    if 0 < share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
