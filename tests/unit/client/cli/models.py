"""Models for the tests of the command line."""

from typing import Any

from sepal_client.model import Column, Model

COLUMNS = (
    Column("island", "string"),
    Column("bill length (mm)", "float64", nullable=True),
    Column("year", "int64"),
    Column("tagged", "bool", nullable=True),
    Column("size", "category", categories=("small", "large")),
    Column("grade", "category", categories=(1, 2)),
    Column("hatched", "date", nullable=True),
)


def model(columns: tuple[Column, ...] = COLUMNS, kind: str = "table", **members: Any) -> Model:
    """Return a model of penguins."""
    default: dict[str, Any] = {
        "classes": ("Adelie", "Gentoo"),
        "outputs": ("prediction", "log_proba"),
        "example": (["Dream", 46.5, 2007, True, "small", 1, "2007-11-11"],),
        "raw": {"input": {"columns": [{} for _ in columns]}},
    }
    return Model("penguins", "1", "sha256:6afd", kind, columns, **{**default, **members})


TEXTS = model((Column("text", "string"),), kind="text", example=("good",))
