"""The served model, as described by its model card."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Column:
    """A column of the rows."""

    name: str
    type: str
    """`float64`, `string` or `category`, for example."""
    nullable: bool = False
    """Whether the value may be missing."""
    categories: tuple[Any, ...] | None = None
    """The allowed values of a column of type `category`."""


@dataclass(frozen=True)
class Model:
    """The served model: its input and its outputs."""

    name: str
    version: str
    digest: str
    """SHA-256 of the artifact."""
    kind: str
    """`matrix` or `table`: a row has a value for each column. `text`: a row is one string."""
    columns: tuple[Column, ...]
    classes: tuple[Any, ...] | None
    """In the order of `log_proba` and `proba`; None if the model is not a classifier."""
    outputs: tuple[str, ...]
    """The outputs that can be requested."""
    example: tuple[Any, ...]
    """Rows that the model accepts."""
    raw: Mapping[str, Any] = field(repr=False)
    """The whole model card."""


def read_model(body: Mapping[str, Any]) -> Model:
    """Parse a model card.

    Raises:
        KeyError, TypeError: the body has another form.
    """
    classes = body.get("classes")
    return Model(
        name=str(body["name"]),
        version=str(body["version"]),
        digest=str(body["digest"]),
        kind=str(body["input"]["kind"]),
        columns=tuple(map(_read_column, body["input"]["columns"])),
        classes=None if classes is None else tuple(classes),
        outputs=tuple(body["outputs"]),
        example=tuple(body["example"]),
        raw=body,
    )


def _read_column(body: Mapping[str, Any]) -> Column:
    categories = body.get("categories")
    values = None if categories is None else tuple(categories["values"])
    return Column(str(body["name"]), str(body["type"]), bool(body.get("nullable", False)), values)
