"""The head of an upload: what it specifies, and which heads are refused."""

from typing import Any

import pytest

from api.bulk.wire import UploadJob
from api.http import uploads
from shared.errors import InvalidParameter, UnsupportedContentType, UnsupportedUploadCoding
from shared.names import OnError, Output
from tests.unit.api.http.cards import CARDS

CARD = CARDS["iris"].model_copy(update={"outputs": (Output.PREDICTION, Output.LOG_PROBA, Output.PROBA)})
CSV, JSON = "text/csv", "application/json"


def job(query: str, media_type: str = CSV) -> UploadJob:
    return uploads._upload_job(media_type, "", query.encode(), CARD)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("on_error=report", {"on_error": OnError.REPORT}),
        ("outputs=proba", {"outputs": (Output.PROBA,)}),
        ("outputs=prediction,log_proba", {"outputs": ()}),
        ("outputs=proba,prediction", {"outputs": (Output.PROBA, Output.PREDICTION)}),
        ("carry=id,customer", {"carried": ("id", "customer")}),
        ("carry=a%20b", {"carried": ("a b",)}),
        ("delimiter=%3B", {"delimiter": ";"}),
        ("delimiter=%09", {"delimiter": "\t"}),
        ("header=false", {"has_header": False}),
        ("header=TRUE", {"has_header": True}),
        ("null=NA&null=N/A", {"null_texts": ("NA", "N/A")}),
        ("null=", {"null_texts": ("",)}),
    ],
)
def test_query_says_how_rows_are_read(query: str, expected: dict[str, Any]) -> None:
    read = job(query)
    assert {name: getattr(read, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("meta=true", "meta"),
        ("on_error=ignore", "on_error"),
        ("on_error=fail&on_error=fail", "on_error"),
        ("outputs=scores", "scores"),
        ("outputs=", "outputs"),
        ("outputs=proba,proba", "outputs"),
        ("carry=a,,b", "carry"),
        ("delimiter=", "delimiter"),
        ("delimiter=ab", "delimiter"),
        ("delimiter=%22", "delimiter"),
        ("delimiter=%0A", "delimiter"),
        ("delimiter=%C3%A4", "delimiter"),
        ("header=maybe", "header"),
    ],
)
def test_invalid_parameter_is_refused_by_its_name(query: str, named: str) -> None:
    with pytest.raises(InvalidParameter, match=named):
        job(query)


@pytest.mark.parametrize("query", ["delimiter=%3B", "header=false", "null=NA"])
def test_parameters_of_csv_are_refused_for_other_formats(query: str) -> None:
    with pytest.raises(InvalidParameter, match="CSV"):
        job(query, JSON)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/csv", CSV),
        ("Text/CSV; charset=UTF-8", CSV),
        ('text/csv; charset="utf-8"; header=present', CSV),
        ("application/json", JSON),
        ("application/geo+json", JSON),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
    ],
)
def test_media_type_names_the_format(content_type: str, expected: str) -> None:
    assert uploads._parse_media_type(content_type) == expected


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/octet-stream", "text/csv; charset=latin-1"])
def test_other_media_types_and_charsets_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedContentType):
        uploads._parse_media_type(content_type)


@pytest.mark.parametrize(
    ("coding", "expected"), [(b"", ""), (b"identity", ""), (b"GZIP", "gzip"), (b"x-gzip", "gzip"), (b"zstd", "zstd")]
)
def test_content_coding_is_read(coding: bytes, expected: str) -> None:
    assert uploads._parse_content_coding(coding) == expected


@pytest.mark.parametrize("coding", [b"br", b"deflate", b"gzip, gzip", b"\xff"])
def test_other_content_codings_are_refused(coding: bytes) -> None:
    with pytest.raises(UnsupportedUploadCoding):
        uploads._parse_content_coding(coding)
