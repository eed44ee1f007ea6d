"""Responses as bytes."""

import pytest

from api.http.server.response import ResponseWriter


def writer(*, to_head: bool = False, minor_version: int = 1, keep_alive: bool = True) -> ResponseWriter:
    return ResponseWriter(is_head_request=to_head, minor_version=minor_version, keep_alive=keep_alive)


def test_whole_response_says_its_size() -> None:
    assert writer().begin(200, [(b"x", b"y")], b"abc", has_more=False) == (
        b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 3\r\n\r\nabc"
    )


def test_response_in_parts_is_chunked() -> None:
    response = writer()

    assert response.begin(200, [], b"abc", has_more=True).endswith(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert response.next_part(b"", has_more=True) == []
    assert b"".join(response.next_part(b"d", has_more=False)) == b"1\r\nd\r\n0\r\n\r\n"


def test_part_of_a_body_is_not_copied() -> None:
    response, part = writer(), b"d" * 100
    response.begin(200, [], b"", has_more=True)

    assert any(sent is part for sent in response.next_part(part, has_more=True))


def test_client_of_http_1_0_gets_no_chunks() -> None:
    response = writer(minor_version=0)

    assert response.begin(200, [], b"abc", has_more=True) == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
    assert not response.keep_alive


def test_response_to_head_has_no_body_but_its_size() -> None:
    data = writer(to_head=True).begin(200, [(b"content-length", b"3")], b"abc", has_more=False)

    assert data == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
def test_response_without_a_body_says_no_size(status: int) -> None:
    assert writer().begin(status, [], b"", has_more=False).count(b"\r\n") == 2


def test_application_can_close_the_connection() -> None:
    response = writer()

    assert response.begin(200, [(b"connection", b"close")], b"", has_more=False).count(b"connection: close") == 1
    assert not response.keep_alive


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b"])
def test_header_with_a_line_break_is_not_sent(value: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        writer().begin(200, [(b"x", value)], b"", has_more=False)


@pytest.mark.parametrize("body", [b"ab", b"abcd"])
def test_body_of_another_size_is_not_sent(body: bytes) -> None:
    with pytest.raises(ValueError, match="another size"):
        writer().begin(200, [(b"content-length", b"3")], body, has_more=False)
