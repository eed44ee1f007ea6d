"""All malformed uploads."""

from typing import Final

from tests.malformed import binary_uploads, compressed_uploads, csv_uploads, json_uploads
from tests.malformed.case import Case

CASES: Final[list[Case]] = [
    *csv_uploads.CASES,
    *json_uploads.CASES,
    *binary_uploads.CASES,
    *compressed_uploads.CASES,
]
