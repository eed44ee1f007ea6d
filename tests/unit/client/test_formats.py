"""The formats of files, by suffix or by name."""

import pytest

from sepal_client.errors import InvalidInput
from sepal_client.formats import ARROW, CSV, JSON, NDJSON, PARQUET, result_format, source_format


@pytest.mark.parametrize(
    ("path", "media_type", "coding"),
    [
        ("rows.csv", CSV, ""),
        ("ROWS.CSV", CSV, ""),
        ("rows.csv.gz", CSV, "gzip"),
        ("rows.2026.csv.zst", CSV, "zstd"),
        ("rows.ndjson", NDJSON, ""),
        ("rows.jsonl", NDJSON, ""),
        ("rows.json.gz", JSON, "gzip"),
        ("rows.arrow", ARROW, ""),
        ("rows.feather", ARROW, ""),
        ("a.csv/rows.parquet", PARQUET, ""),
    ],
)
def test_suffix_says_the_format(path: str, media_type: str, coding: str) -> None:
    found = source_format(path, None)
    assert (found.media_type, found.coding) == (media_type, coding)


def test_name_comes_before_the_suffix() -> None:
    assert source_format("rows.txt", "csv").media_type == CSV
    assert source_format(None, "csv.gz").coding == "gzip"
    assert source_format("rows.csv", "ndjson").media_type == NDJSON


@pytest.mark.parametrize("path", ["rows", "rows.txt", "rows.gz", "rows.xlsx", ".csv"])
def test_unknown_suffix_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="is not a known format: give one of csv"):
        source_format(path, None)


@pytest.mark.parametrize("name", ["excel", "", "csv.bz2", "csv.gz.gz"])
def test_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a known format; the formats are csv"):
        source_format(None, name)


@pytest.mark.parametrize("path", ["rows.csv.zst", "rows.parquet.gz", "rows.feather", "rows.ipc"])
def test_results_are_not_written_in_every_format(path: str) -> None:
    assert source_format(path, None)
    with pytest.raises(InvalidInput, match="Results are not available as"):
        result_format(path, None)
