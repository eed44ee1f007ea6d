"""The formats of uploads and results, by their media types."""

from enum import StrEnum
from importlib.metadata import version
from typing import Final


class Format(StrEnum):
    """A format of uploads and results."""

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
FORMATS_BY_MEDIA_TYPE: Final = {media_type: each for each, media_type in MEDIA_TYPES.items()}
BINARY_FORMATS: Final = frozenset({Format.ARROW, Format.PARQUET})
"""Formats with their own compression, whose files clients read in byte ranges."""
WRITER_VERSION: Final = f"pyarrow {version('pyarrow')}"
"""The library that writes results: another version may write other bytes for the same rows."""
