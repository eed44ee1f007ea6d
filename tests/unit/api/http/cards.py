"""Model cards of every kind, made without a pipeline; `tests.bodies` has rows for them."""

from typing import Any, Final

from shared.card import Data, ModelCard
from shared.columns import INTEGER_RANGES, Categories, Column, ModelInput, Unit, ValueType
from tests.bodies import ROWS

_T: Final = ValueType


def column(name: str, type_: ValueType, *, nullable: bool = False, **more: Any) -> Column:
    """Make a column; the gateway does not read how a worker stores it."""
    return Column(name=name, type=type_, dtype="any", nullable=nullable, missing="nan" if nullable else None, **more)


def category(name: str, type_: ValueType, *values: Any, nullable: bool = False, **more: Any) -> Column:
    """Make a categorical column."""
    known = Categories(type=type_, dtype="any", values=values, **more)
    return column(name, _T.CATEGORY, nullable=nullable, categories=known)


def card(kind: Any, *columns: Column) -> ModelCard:
    """Make a card."""
    return ModelCard(
        name="any",
        version="1",
        digest="sha256:" + "0" * 64,
        input=ModelInput(kind=kind, columns=columns),
        classes=None,
        outputs=("prediction",),
        versions={},
        data=Data(source="the tests", rows=1),
        metrics={},
        example=("a",) if kind == "text" else (("a",) * len(columns),),
    )


def matrix(type_: ValueType = _T.FLOAT64, n_columns: int = 3, *, nullable: bool = False) -> ModelCard:
    """Make the card of a matrix with columns of one type."""
    return card("matrix", *(column(f"x{index}", type_, nullable=nullable) for index in range(n_columns)))


_PENGUIN: Final = {"island": _T.STRING, "sex": _T.STRING, "year": _T.INT64}
_MOMENTS: Final = [column(f"datetime_{unit.value}", _T.DATETIME, unit=unit) for unit in Unit]

CARDS: Final = {
    "iris": card("matrix", *(column(name, _T.FLOAT64) for name in ROWS["iris"])),
    "penguins": card(
        "table",
        *(
            column(name, _PENGUIN.get(name, _T.FLOAT64), nullable=name not in {"island", "year"})
            for name in ROWS["penguins"]
        ),
    ),
    "typed": card(
        "table",
        column("float32", _T.FLOAT32),
        column("float64", _T.FLOAT64),
        *(column(each.value, each) for each in sorted(INTEGER_RANGES)),
        column("float64_or_nan", _T.FLOAT64, nullable=True),
        column("Int64_or_na", _T.INT64, nullable=True),
        *_MOMENTS,
        column("zoned", _T.DATETIME, unit=Unit.MICROSECOND, time_zone="Europe/Zurich"),
        column("datetime_or_nat", _T.DATETIME, unit=Unit.MICROSECOND, nullable=True),
        column("bool", _T.BOOL),
        column("boolean_or_na", _T.BOOL, nullable=True),
        column("text", _T.STRING),
        column("text_or_nan", _T.STRING, nullable=True),
        column("date", _T.DATE),
        column("date_or_none", _T.DATE, nullable=True),
        category("size", _T.STRING, "small", "large", ordered=True),
        category("size_or_nan", _T.STRING, "large", "small", nullable=True),
        category("grade", _T.INT64, 1, 2),
        category("fit/fat ~", _T.STRING, "fat", "fit"),
    ),
    "texts": card("text", column("text", _T.STRING)),
}
"""Cards with the columns of the models of the same names, which `tests.served_models` saves."""
