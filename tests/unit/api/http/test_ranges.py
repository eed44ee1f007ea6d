"""The bytes of a file that a request selects, and the conditions on its `ETag`."""

import pytest
from starlette.datastructures import Headers

from api.http.ranges import ByteRange, has_current_copy, is_range_requested, requested_range
from shared.errors import RangeNotSatisfiable

TAG = '"abc"'


def headers(**named: str) -> Headers:
    return Headers({name.replace("_", "-"): value for name, value in named.items()})


@pytest.mark.parametrize(
    ("asked_for", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=2-4", ByteRange(2, 5)),
        ("bytes=2-", ByteRange(2, 10)),
        ("bytes=-3", ByteRange(7, 10)),
        ("bytes=-30", ByteRange(0, 10)),
        ("bytes=8-100", ByteRange(8, 10)),
        ("Bytes= 9-9 ", ByteRange(9, 10)),
    ],
)
def test_range_is_a_part_of_the_file(asked_for: str, expected: ByteRange) -> None:
    asked = headers(range=asked_for)
    assert is_range_requested(asked, TAG)
    assert requested_range(asked, 10) == expected


@pytest.mark.parametrize("asked_for", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_range_beyond_the_file_is_refused_with_its_size(asked_for: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        requested_range(headers(range=asked_for), 10)
    assert refused.value.n_bytes == 10


@pytest.mark.parametrize(
    "asked_for", ["", "bytes=", "bytes=-", "bytes=3-2", "bytes=a-b", "bytes=0-1,4-5", "rows=0-1", "bytes=1-2-3"]
)
def test_what_is_no_single_range_gets_the_whole_file(asked_for: str) -> None:
    assert not is_range_requested(headers(range=asked_for), TAG)


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [(TAG, True), (f"W/{TAG}", False), ('"other"', False), ("Wed, 21 Oct 2015 07:28:00 GMT", False)],
)
def test_range_of_another_file_is_not_sent(if_range: str, expected: bool) -> None:
    assert is_range_requested(headers(range="bytes=0-1", if_range=if_range), TAG) is expected


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [(TAG, True), (f"W/{TAG}", True), (f'"other", {TAG}', True), ("*", True), ('"other"', False), ("", False)],
)
def test_file_that_the_client_has_is_known_by_its_tag(if_none_match: str, expected: bool) -> None:
    assert has_current_copy(headers(if_none_match=if_none_match), TAG) is expected


def test_request_without_a_tag_has_no_file() -> None:
    assert not has_current_copy(headers(), TAG)
