"""A malformed upload, and how it must be refused."""

from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from api.bulk.wire import UploadJob
from shared.errors import BodyTooLarge, InvalidParameter, InvalidRows, MalformedUpload
from shared.names import OnError
from tests.unit.api.http.cards import CARDS

CSV: Final = "text/csv"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"

MALFORMED: Final = MalformedUpload.code
INVALID: Final = InvalidRows.code
PARAMETER: Final = InvalidParameter.code
TOO_LARGE: Final = BodyTooLarge.code


class Case(NamedTuple):
    """A malformed upload."""

    name: str
    model: str
    """One of `tests.unit.api.http.cards.CARDS`; `tests.served_models` saves models of the same names."""
    media_type: str
    content: bytes | Callable[[], bytes]
    code: str
    """Of the error."""
    words: tuple[str, ...]
    """Of its detail, or of one of its faults: they name the place."""
    query: str = ""
    content_coding: str = ""

    @property
    def body(self) -> bytes:
        """The body to send."""
        return self.content if isinstance(self.content, bytes) else self.content()

    def job(self, key: str) -> UploadJob:
        """Return the job of reading it."""
        query = parse_qs(self.query, keep_blank_values=True)
        return UploadJob(
            card=CARDS[self.model].model_dump_json().encode(),
            media_type=self.media_type,
            content_coding=self.content_coding,
            key=key,
            on_error=OnError(query.get("on_error", ["fail"])[0]),
            carried=tuple(name for names in query.get("carry", []) for name in names.split(",")),
            delimiter=query.get("delimiter", [","])[0],
            has_header=query.get("header", ["true"])[0] == "true",
            null_texts=tuple(query.get("null", [])),
        )
