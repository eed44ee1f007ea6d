"""Chunked bodies: RFC 9112, section 7.1, and the limits."""

import pytest

from api.http.server.chunks import CHUNKS_PER_TURN, ChunkedBody
from api.http.server.refusals import Refused
from api.settings import ConnectionSettings

LIMITS = ConnectionSettings(max_body_bytes=100, max_chunk_extension_bytes=30, max_trailer_bytes=40)


def decode(data: bytes, step: int = 10_000) -> tuple[bytes, int]:
    """Return the body, and where it ends in the data."""
    chunks, body, end = ChunkedBody(LIMITS), bytearray(), 0
    for start in range(0, len(data), step):
        part = data[start : start + step]
        end = start + chunks.feed(part, 0, body)
        if chunks.is_complete:
            return bytes(body), end
    raise AssertionError("the body is not complete")


@pytest.mark.parametrize("step", [1, 2, 3, 10_000])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", b"0123456789" * 2),
        (b"3;x=y\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b'3 ; x = "y;\\"z" ;w\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"00000003\r\na\r\n\r\n0\r\n\r\n", b"a\r\n"),
        (b"3\r\nabc\r\n0\r\nX: y\r\nContent-Length: 7\r\n\r\n", b"abc"),
    ],
)
def test_body_is_decoded_however_it_arrives(data: bytes, body: bytes, step: int) -> None:
    assert decode(data + b"NEXT", step) == (body, len(data))


def test_body_is_decoded_wherever_it_is_cut() -> None:
    data = b"11\r\n0123456789abcdefg\r\n1;x\r\nh\r\n0\r\nX: y\r\n\r\n"

    for cut in range(len(data)):
        chunks, body = ChunkedBody(LIMITS), bytearray()
        for part in (data[:cut], data[cut:]):
            assert chunks.feed(part, 0, body) == len(part)
        assert chunks.is_complete
        assert body == b"0123456789abcdefgh"


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\r\n", "malformed-request"),
        (b"x\r\n", "malformed-request"),
        (b"+3\r\nabc\r\n", "malformed-request"),
        (b"0x3\r\nabc\r\n", "malformed-request"),
        (b" 3\r\nabc\r\n", "malformed-request"),
        (b"3 \r\nabc\r\n", "malformed-request"),
        (b"3\nabc\n0\n\n", "malformed-request"),
        (b"3;\r\nabc\r\n", "malformed-request"),
        (b"3;x=\r\nabc\r\n", "malformed-request"),
        (b"3\r\nabcd\r\n0\r\n\r\n", "malformed-request"),
        (b"3\r\nabc\n0\r\n\r\n", "malformed-request"),
        (b"3\r\nabc\r\n0\r\nX y\r\n\r\n", "malformed-request"),
        (b"3\r\nabc\r\n0\r\n X: y\r\n\r\n", "malformed-request"),
        (b"65\r\n", "body-too-large"),
        (b"FFFFFFFFFFFFFFFFFFFF\r\n", "body-too-large"),
        (b"30\r\n" + b"a" * 48 + b"\r\n35\r\n", "body-too-large"),
        (b"0" * 50, "body-too-large"),
        (b"1;" + b"x" * 50, "body-too-large"),
        (b"1;xxxxxxxxxxxxxxxx\r\na\r\n" * 4, "body-too-large"),
        (b"0\r\nX: " + b"y" * 50, "headers-too-large"),
        (b"0\r\n" + b"X: yyyyyyyyyy\r\n" * 4, "headers-too-large"),
    ],
)
def test_what_is_malformed_or_too_large_is_refused(data: bytes, code: str, step: int) -> None:
    with pytest.raises(Refused) as refused:
        decode(data, step)
    assert refused.value.code == code


def test_many_small_chunks_are_decoded_in_turns() -> None:
    n_chunks = 3 * CHUNKS_PER_TURN
    data = b"1\r\na\r\n" * n_chunks + b"0\r\n\r\n"
    chunks, body, at, turns = ChunkedBody(ConnectionSettings()), bytearray(), 0, 0

    while not chunks.is_complete:
        before = len(body)
        at = chunks.feed(data, at, body)
        turns += 1
        assert len(body) - before <= CHUNKS_PER_TURN

    assert (len(body), at) == (n_chunks, len(data))
    assert turns > 2
