"""The parser of responses that the cases are judged with."""

import h11
import pytest

from tests.attack.cases import CASES
from tests.attack.response import Response, ResponseReader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"


def read(data: bytes, size: int, *, head: bool = False) -> list[Response]:
    """Read all responses from packets of a size."""
    reader = ResponseReader(head=head)
    return [response for at in range(0, len(data), size) for response in reader.feed(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_answers_are_told_apart_however_they_arrive(size: int) -> None:
    responses = read(OK + CONTINUE + CHUNKED + OK, size)
    assert [response.status for response in responses] == [200, 100, 200, 200]
    assert [response.body for response in responses if not response.is_interim] == [b"hi"] * 3


def test_answer_to_head_has_a_length_and_no_body() -> None:
    head = OK.removesuffix(b"hi")
    assert [response.body for response in read(head + head, 5, head=True)] == [b"", b""]


@pytest.mark.parametrize("data", [b"hi" + OK, OK + b"hi\r\n\r\n", OK.replace(b"2\r", b"x\r")])
def test_what_is_not_http_is_not_an_answer(data: bytes) -> None:
    with pytest.raises(h11.RemoteProtocolError):
        read(data, 1000)


def test_part_of_an_answer_is_noticed() -> None:
    reader = ResponseReader()
    assert reader.is_between_responses
    assert reader.feed(OK[:-1]) == []
    assert not reader.is_between_responses


def test_names_of_cases_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
