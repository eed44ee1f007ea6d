"""All malformed uploads."""

from typing import Final

from tests.malformed import csv_uploads, json_uploads
from tests.malformed.case import Case

CASES: Final[list[Case]] = [*csv_uploads.CASES, *json_uploads.CASES]
