"""The columns that a pipeline takes: their types, how a data frame stores them, and what the training data held.

A value on the way from the gateway to a pool process is a number, a boolean, a text or None. A date is its ISO 8601
text, a datetime likewise, in UTC and with a final `Z` where the column has a time zone. The rows of a card's example
are written in the same form, which clients may send as well.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema

Value = bool | int | float | str


class FrozenModel(BaseModel):
    """An immutable value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class CompleteModel(FrozenModel):
    """A value that is written with all its fields, also those with defaults."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class SparseModel(FrozenModel):
    """A value whose fields that are None, `| SkipJsonSchema[None]`, are left out when it is written."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the fields, which the serializer hides."""
        return handler(cast(CoreSchema, _without_serializer(schema)))

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = sorted(handler(self).items(), key=lambda field: field[0] != "name")  # a column begins with its name
        return {name: value for name, value in fields if value is not None}


def _without_serializer(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key != "serialization"}
    if "schema" in kept:  # a validator is around the model
        kept["schema"] = _without_serializer(kept["schema"])
    return kept


class ValueType(StrEnum):
    """What a value is, whatever stores it."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    BOOL = "bool"
    STRING = "string"
    CATEGORY = "category"
    """One of the values that `Column.categories` lists."""
    DATETIME = "datetime"
    DATE = "date"


FLOATS: Final = frozenset({ValueType.FLOAT64, ValueType.FLOAT32})
INTEGERS: Final = {
    ValueType(f"{sign}int{bits}"): (0 if sign else -(2 ** (bits - 1)), 2 ** (bits if sign else bits - 1) - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
"""The smallest and the largest value of each integer type."""


class Unit(StrEnum):
    """The resolution of a datetime."""

    SECOND = "s"
    MILLISECOND = "ms"
    MICROSECOND = "us"
    NANOSECOND = "ns"


UNIT_DIGITS: Final = {Unit.SECOND: 0, Unit.MILLISECOND: 3, Unit.MICROSECOND: 6, Unit.NANOSECOND: 9}
"""How many digits of a second each unit keeps."""


class Values(SparseModel):
    """The values of a column, or of the categories of a column."""

    type: ValueType
    dtype: str
    """The dtype that restores them: by the name that numpy, pandas or polars gives it; strings also by their storage,
    as in `str[pyarrow]`."""
    unit: Unit | SkipJsonSchema[None] = None
    """Of datetimes."""
    time_zone: str | SkipJsonSchema[None] = None
    """Of datetimes that have one."""


class Categories(Values):
    """The values that a categorical column can hold."""

    values: tuple[Value, ...]
    """In the order of their codes."""
    ordered: bool = False


class Seen(SparseModel):
    """What a column of the training data held: for people, and for monitoring later."""

    missing: float
    """Share of the rows, from 0 to 1."""
    minimum: Value | SkipJsonSchema[None] = None
    maximum: Value | SkipJsonSchema[None] = None
    quantiles: tuple[float, ...] | SkipJsonSchema[None] = None
    """The quantiles 0.05, 0.25, 0.5, 0.75 and 0.95 of numbers."""
    counts: tuple[tuple[Value, int], ...] | SkipJsonSchema[None] = None
    """The most frequent values and their numbers of rows, of columns that are not numbers or datetimes."""
    longest: int | SkipJsonSchema[None] = None
    """The length of the longest text, in characters."""


class Column(Values):
    """One column, or the texts of a model that takes texts."""

    name: str
    nullable: bool = False
    """Whether a value may be missing."""
    missing: Literal["nan", "none", "na", "nat", "null"] | SkipJsonSchema[None] = None
    """How a missing value is stored; None if none may be missing."""
    categories: Categories | SkipJsonSchema[None] = None
    seen: Seen | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _has_categories_if_it_is_categorical(self) -> Self:
        known = None if self.categories is None else self.categories.type
        if (self.type is ValueType.CATEGORY) is (known is None) or known is ValueType.CATEGORY:
            raise ValueError("a column of the type category, and no other, has categories, which are of another type")
        return self


class ModelInput(CompleteModel):
    """What a pipeline takes."""

    kind: Literal["matrix", "table", "text"]
    """A row is an array of numbers, an array of values of the columns' types, or a text."""
    library: Literal["numpy", "pandas", "polars"] | None = None
    """Of the matrix or data frame; None for texts, which the pipeline takes as a list."""
    columns: tuple[Column, ...]
    """In order; of texts, one."""
    names_dtype: str | None = None
    """Of a pandas frame: the dtype of the index of its column names, as `Values.dtype`."""

    @model_validator(mode="after")
    def _has_columns_that_suit_its_kind(self) -> Self:
        if len({column.name for column in self.columns}) < len(self.columns) or not self.columns:
            raise ValueError("there must be columns, each with a name of its own")
        if self.kind == "text" and [column.type for column in self.columns] != [ValueType.STRING]:
            raise ValueError("texts are one column of the type string")
        return self

    @property
    def is_plain_matrix(self) -> bool:
        """Whether rows are complete float64 numbers, which are encoded as they are."""
        return self.kind == "matrix" and all(
            column.type is ValueType.FLOAT64 and not column.nullable for column in self.columns
        )
