"""The columns of a pipeline's input: their types, their storage in a data frame, and statistics of the training data.

A gateway sends each value to a pool process as a number, a boolean, a string or None. A date or datetime is a string in
ISO 8601; a datetime is in UTC and has a final `Z` if the column has a time zone. The example rows of a card have the
same form, which clients may also send.
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
    """An immutable model without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class CompleteModel(FrozenModel):
    """A model that is serialized with all its fields, including those with default values."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class SparseModel(FrozenModel):
    """A model that is serialized without the fields that are None; their type has `| SkipJsonSchema[None]`."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Generate the schema from the fields; the serializer would hide them."""
        return handler(cast(CoreSchema, _remove_serializer(schema)))

    @model_serializer(mode="wrap")
    def _serialize_without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = sorted(handler(self).items(), key=lambda field: field[0] != "name")  # a column begins with its name
        return {name: value for name, value in fields if value is not None}


def _remove_serializer(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key != "serialization"}
    if "schema" in kept:  # the schema of the model is nested in that of a validator
        kept["schema"] = _remove_serializer(kept["schema"])
    return kept


class ValueType(StrEnum):
    """The type of a value, independent of its storage."""

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


FLOAT_TYPES: Final = frozenset({ValueType.FLOAT64, ValueType.FLOAT32})
INTEGER_RANGES: Final = {
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
"""The number of decimal digits of a second in each unit."""


class Values(SparseModel):
    """The type and storage of the values of a column, or of its categories."""

    type: ValueType
    dtype: str
    """The name of their dtype in numpy, pandas or polars; for strings with the storage, as in `str[pyarrow]`."""
    unit: Unit | SkipJsonSchema[None] = None
    """The resolution of datetimes."""
    time_zone: str | SkipJsonSchema[None] = None
    """The time zone of datetimes that have one."""


class Categories(Values):
    """The values of a categorical column."""

    values: tuple[Value, ...]
    """In the order of their codes."""
    ordered: bool = False


class Seen(SparseModel):
    """Statistics of a column of the training data."""

    missing: float
    """Share of the rows with a missing value, from 0 to 1."""
    minimum: Value | SkipJsonSchema[None] = None
    maximum: Value | SkipJsonSchema[None] = None
    quantiles: tuple[float, ...] | SkipJsonSchema[None] = None
    """The quantiles 0.05, 0.25, 0.5, 0.75 and 0.95 of numbers."""
    counts: tuple[tuple[Value, int], ...] | SkipJsonSchema[None] = None
    """The most frequent values and their numbers of rows; not of numbers and datetimes."""
    longest: int | SkipJsonSchema[None] = None
    """The length of the longest string, in characters."""


class Column(Values):
    """A column, or the texts of a model whose rows are texts."""

    name: str
    nullable: bool = False
    """Whether a value may be missing."""
    missing: Literal["nan", "none", "na", "nat", "null"] | SkipJsonSchema[None] = None
    """How the data frame stores a missing value; None if the column is not nullable."""
    categories: Categories | SkipJsonSchema[None] = None
    seen: Seen | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _check_categories(self) -> Self:
        known = None if self.categories is None else self.categories.type
        if (self.type is ValueType.CATEGORY) is (known is None) or known is ValueType.CATEGORY:
            raise ValueError("a column of the type category, and no other, has categories, which are of another type")
        return self


class ModelInput(CompleteModel):
    """The input of a pipeline."""

    kind: Literal["matrix", "table", "text"]
    """A row is an array of numbers, an array of values of the columns' types, or a text."""
    library: Literal["numpy", "pandas", "polars"] | None = None
    """The library of the matrix or data frame; None for texts, which are passed as a list."""
    columns: tuple[Column, ...]
    """The columns, in order; exactly one for texts."""
    names_dtype: str | None = None
    """For pandas: the dtype of the index of column names, as `Values.dtype`."""

    @model_validator(mode="after")
    def _check_columns_of_kind(self) -> Self:
        if len({column.name for column in self.columns}) < len(self.columns) or not self.columns:
            raise ValueError("there must be columns, each with a name of its own")
        if self.kind == "text" and [column.type for column in self.columns] != [ValueType.STRING]:
            raise ValueError("texts are one column of the type string")
        return self

    @property
    def is_plain_matrix(self) -> bool:
        """Whether rows consist of float64 numbers that may not be missing."""
        return self.kind == "matrix" and all(
            column.type is ValueType.FLOAT64 and not column.nullable for column in self.columns
        )
