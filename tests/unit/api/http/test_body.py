"""How a body is received, and which bodies are refused before they are read."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.http.body import read_json_body
from api.http.headers import RequestHeaders
from shared.errors import BodyTooLarge, MalformedJson, UnsupportedContentCoding, UnsupportedContentType

JSON = (b"content-type", b"application/json")


class Sender:
    """Delivers the parts of a body, and counts them."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self.n_sent = 0

    async def __call__(self) -> dict[str, Any]:
        part = next(self._parts, None)
        self.n_sent += 1
        if part is None:
            return {"type": "http.request"}
        return {"type": "http.request", "body": part, "more_body": True}


async def read(parts: Iterator[bytes], max_bytes: int, *headers: tuple[bytes, bytes]) -> bytes:
    return await read_json_body(RequestHeaders.read([JSON, *headers]), Sender(parts), max_bytes)


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
async def test_parts_are_joined_in_their_order(size: int) -> None:
    body = bytes(range(256)) * 400
    parts = (body[start : start + size] for start in range(0, len(body), size))
    assert await read(parts, len(body)) == body


@pytest.mark.parametrize("parts", [[], [b""], [b"", b"a", b""]])
async def test_empty_parts_add_nothing(parts: list[bytes]) -> None:
    assert await read(iter(parts), 1) == b"".join(parts)


async def test_body_is_refused_at_the_first_part_that_exceeds_the_limit() -> None:
    sender = Sender(iter([b"x"] * 1000))
    with pytest.raises(BodyTooLarge):
        await read_json_body(RequestHeaders.read([JSON]), sender, 10)
    assert sender.n_sent == 11


async def test_body_that_ends_early_is_refused() -> None:
    async def disconnect() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(MalformedJson):
        await read_json_body(RequestHeaders.read([JSON]), disconnect, 10)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-encoding", b"gzip")],
        [(b"content-encoding", b"br")],
        [(b"content-encoding", b"identity, gzip")],
        [(b"content-encoding", b"gzip"), (b"content-encoding", b"identity")],
    ],
)
async def test_compressed_body_is_refused_unread(headers: list[tuple[bytes, bytes]]) -> None:
    sender = Sender(iter([b"{}"]))
    with pytest.raises(UnsupportedContentCoding):
        await read_json_body(RequestHeaders.read([JSON, *headers]), sender, 10)
    assert sender.n_sent == 0


@pytest.mark.parametrize("coding", [b"", b"identity", b"Identity"])
async def test_body_without_a_coding_is_read(coding: bytes) -> None:
    assert await read(iter([b"{}"]), 10, (b"content-encoding", coding)) == b"{}"


async def test_other_media_type_is_refused() -> None:
    with pytest.raises(UnsupportedContentType):
        await read_json_body(RequestHeaders.read([]), Sender(iter([])), 10)


def test_length_in_the_headers_is_not_converted() -> None:
    RequestHeaders.read([(b"content-length", b"0" * 4301)])
