"""The formats of uploads and results, by their media types."""

from enum import StrEnum
from importlib.metadata import version
from typing import Final


class Format(StrEnum):
    """A format; a result is written in it by a table process (`api.bulk.wire.ResultJob`)."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv",
    Format.ARROW: "application/vnd.apache.arrow.stream",
    Format.PARQUET: "application/vnd.apache.parquet",
}
FORMATS: Final = {media_type: each for each, media_type in MEDIA_TYPES.items()}
BINARY: Final = frozenset({Format.ARROW, Format.PARQUET})
"""Formats whose files are read in ranges, and are compressed in themselves."""
WRITER: Final = f"pyarrow {version('pyarrow')}"
"""What decides about the bytes of a result, beside its rows: another version may write others."""
