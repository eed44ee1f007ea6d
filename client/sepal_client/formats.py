"""File formats: their names, suffixes, media types and content codings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from sepal_client.errors import InvalidInput


@dataclass(frozen=True)
class Format:
    """A file format."""

    name: str
    """`csv` or `csv.gz`, for example."""
    media_type: str
    coding: str = ""
    """`gzip`, `zstd`, or empty."""

    @property
    def is_binary(self) -> bool:
        """Whether the format is Arrow or Parquet, of which the gateway serves byte ranges."""
        return self.media_type in (ARROW, PARQUET)


JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"

_MEDIA_TYPES: Final[Mapping[str, str]] = {
    "csv": CSV,
    "ndjson": NDJSON,
    "jsonl": NDJSON,
    "json": JSON,
    "arrow": ARROW,
    "arrows": ARROW,
    "ipc": ARROW,
    "feather": ARROW,
    "parquet": PARQUET,
    "pq": PARQUET,
}
_CODINGS: Final[Mapping[str, str]] = {"gz": "gzip", "gzip": "gzip", "zst": "zstd", "zstd": "zstd"}
_KNOWN_FORMATS: Final = "csv, ndjson, json, arrow and parquet (text ones also with .gz or .zst)"
_ARROW_FILE_SUFFIXES: Final = ("feather", "ipc")
_RESULT_CODINGS: Final = ("", "gzip")


def format_by_name(name: str) -> Format:
    """Return the format with a name such as `csv`, `csv.gz` or `parquet`.

    Raises:
        InvalidInput: the name is unknown.
    """
    found = _find_format(name.lower().lstrip(".").split("."))
    if found is None:
        raise InvalidInput(f"{name!r} is not a known format; the formats are {_KNOWN_FORMATS}.")
    return found


def format_by_suffix(path: "str | os.PathLike[str]") -> Format:
    """Return the format of a file by its suffix.

    Raises:
        InvalidInput: the suffix is unknown.
    """
    suffixes = [suffix[1:].lower() for suffix in PurePath(path).suffixes]
    found = _find_format(suffixes[-2:]) or _find_format(suffixes[-1:])
    if found is None:
        raise InvalidInput(f"The suffix of {os.fspath(path)} is not a known format: give one of {_KNOWN_FORMATS}.")
    return found


def source_format(path: "str | os.PathLike[str] | None", name: str | None) -> Format:
    """Return the format of an upload: the one named, or else that of the path's suffix.

    Raises:
        InvalidInput: there is neither, or it is unknown.
    """
    if name is not None:
        return format_by_name(name)
    if path is None:
        raise InvalidInput(f"Give the format of this file, because it has no suffix: one of {_KNOWN_FORMATS}.")
    return format_by_suffix(path)


def result_format(path: "str | os.PathLike[str] | None", name: str | None) -> Format:
    """Return the format of a result: the one named, or else that of the path's suffix.

    Raises:
        InvalidInput: there is neither, or it is unknown, or results are not available in it.
    """
    found = source_format(path, name)
    if found.coding not in _RESULT_CODINGS or (found.coding and found.is_binary):
        raise InvalidInput(
            f"Results are not available as {found.name}: of compressed formats, only csv.gz, ndjson.gz and json.gz are."
        )
    if found.name in _ARROW_FILE_SUFFIXES:
        raise InvalidInput(f"Results are not available as {found.name}: use .arrow or .arrows for an Arrow stream.")
    return found


def _find_format(name_parts: list[str]) -> Format | None:
    if not 1 <= len(name_parts) <= 2 or name_parts[0] not in _MEDIA_TYPES:
        return None
    if len(name_parts) == 1:
        return Format(name_parts[0], _MEDIA_TYPES[name_parts[0]])
    coding = _CODINGS.get(name_parts[1])
    return None if coding is None else Format(".".join(name_parts), _MEDIA_TYPES[name_parts[0]], coding)
