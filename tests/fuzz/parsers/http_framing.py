"""Heads and chunked bodies (RFC 9112), as parsed by `api.http.server`."""

import re
from itertools import pairwise
from typing import Any, Final

from hypothesis import strategies as st

from api.http.server.chunks import ChunkedBody
from api.http.server.head import Head, HeadProbe, parse_head
from api.http.server.refusals import Refused
from api.settings import ConnectionSettings
from tests.fuzz.parsers.effort import assert_linear, pumped
from tests.fuzz.parsers.properties import Property, mostly

LIMITS: Final = ConnectionSettings(
    max_request_line_bytes=64,
    max_header_bytes=64,
    max_headers_bytes=300,
    max_headers=8,
    max_body_bytes=100,
    max_chunk_extension_bytes=30,
    max_trailer_bytes=30,
)
_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

_METHODS: Final = mostly(
    st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"DELETE"]), st.sampled_from([b"CONNECT", b"FOO", b"", b"g"])
)
_TARGETS: Final = mostly(
    st.sampled_from([b"/", b"/predict", b"/%00", b"//x", b"/?a?b", b"http://h/p?q", b"HTTP://h:80"]),
    st.one_of(st.sampled_from([b"*", b"/a#b", b"http://", b"h:80", b"/\x80"]), st.binary(max_size=8)),
)
_VERSIONS: Final = mostly(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2"]), st.sampled_from([b"HTTP/2.0", b"http/1.1", b"RTSP/1.0"])
)
_LENGTHS: Final = mostly(
    st.sampled_from([b"0", b"5", b"005", b"100"]),
    st.sampled_from([b"101", b"9" * 30, b"-1", b"+1", b"5, 5", b"", b"1_0"]),
)
_CODINGS: Final = mostly(
    st.sampled_from([b"chunked", b"Chunked"]), st.sampled_from([b"gzip, chunked", b"chunked, chunked", b"x", b""])
)
_FIELDS: Final = mostly(
    st.one_of(
        st.tuples(
            st.sampled_from([b"X", b"x-y", b"Connection", b"Prefer"]), st.sampled_from([b"", b"a b", b"close", b"\xe9"])
        ),
        st.tuples(st.just(b"Content-Length"), _LENGTHS),
        st.tuples(st.just(b"Transfer-Encoding"), _CODINGS),
        st.tuples(st.just(b"Expect"), st.sampled_from([b"100-continue", b"x"])),
    ),
    st.one_of(
        st.tuples(st.sampled_from([b"Host", b"host"]), st.sampled_from([b"h", b"h:80", b"[::1]", b"a b", b"h/", b""])),
        st.tuples(st.binary(max_size=4), st.binary(max_size=6)),
    ),
)
_COLONS: Final = mostly(st.sampled_from([b":", b": ", b":\t", b": \t "]), st.sampled_from([b" :", b"", b"\t: "]))
_LINE_END: Final = mostly(
    st.just(b"\r\n"), mostly(st.just(b"\r\n"), st.sampled_from([b"\n", b"\r", b"\r\n ", b"\x00\r\n"]))
)


@st.composite
def _heads(draw: st.DrawFn) -> bytes:
    line = b" ".join([draw(_METHODS), draw(_TARGETS), draw(_VERSIONS)]) + draw(_LINE_END)
    host = draw(mostly(st.just(b"Host: h\r\n"), st.just(b"")))
    headers = []
    for _ in range(draw(st.integers(0, 3))):
        name, value = draw(_FIELDS)
        headers.append(name + draw(_COLONS) + value + draw(st.sampled_from([b"", b" "])) + draw(_LINE_END))
    whole: bytes = line + host + b"".join(headers) + b"\r\n"
    return whole


def _plain(draw_heads: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """A head ends with its first empty line."""
    return draw_heads.map(
        lambda head: head[: head.index(b"\r\n\r\n") + 4] if b"\r\n\r\n" in head else head + b"\r\n\r\n"
    )


HEADS: Final = _plain(st.one_of(_heads(), _heads(), st.binary(max_size=40)))


def _head_of(head: bytes) -> Head | None:
    try:
        return parse_head(head, LIMITS)
    except Refused:
        return None


def _accepts_what_the_rfc_allows(head: bytes) -> None:
    """An accepted head is parsed as by a slow reader of RFC 9112, and contains only what is allowed."""
    found = _head_of(head)
    if found is None:
        return
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert not any(byte in line for line in lines for byte in (b"\r", b"\n", b"\x00"))
    assert len(lines[0]) <= LIMITS.max_request_line_bytes
    assert len(head) <= LIMITS.max_headers_bytes
    method, target, version = lines[0].split(b" ")
    assert found.method.encode() == method
    assert set(method) <= _TOKEN
    assert all(0x21 <= byte <= 0x7E for byte in target)
    assert re.fullmatch(rb"HTTP/1\.[0-9]", version)
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        assert colon
        assert name
        assert set(name) <= _TOKEN
        fields.append((name.lower(), value.strip(b" \t")))
    _check_fields(found, fields)


def _check_fields(found: Head, fields: list[tuple[bytes, bytes]]) -> None:
    def values(name: bytes) -> list[bytes]:
        return [value for each, value in fields if each == name]

    assert len(fields) <= LIMITS.max_headers
    assert len(values(b"host")) == 1 or (found.minor_version == 0 and not values(b"host"))
    assert {name for name, _ in found.headers} == {name for name, _ in fields}
    for name, value in found.headers:
        assert value in (*values(name), b", ".join(values(name)))
    codings, lengths = values(b"transfer-encoding"), values(b"content-length")
    assert not (codings and lengths)
    assert len(lengths) <= 1
    if codings:
        assert found.body_bytes is None
        assert b", ".join(codings).lower().strip(b" \t") == b"chunked"
        assert found.minor_version == 1
    else:
        assert found.body_bytes == int(b"".join(lengths) or b"0") <= LIMITS.max_body_bytes


def _probe_refuses_no_valid_head(drawn: tuple[bytes, list[int]]) -> None:
    head, cuts = drawn
    if _head_of(head) is None:
        return
    probe, places = HeadProbe(LIMITS), sorted({min(cut, len(head) - 1) for cut in cuts} | {0})
    for start, end in pairwise(places):
        probe.feed(head[:end], head[start:end])


_EXTENSIONS: Final = mostly(
    st.sampled_from([b"", b";a", b";a=b", b' ; a="b;\\""']),
    st.sampled_from([b";", b";=", b" ", b";a=\x80", b";a" * 20]),
)
_SIZES: Final = mostly(
    st.sampled_from([b"%x", b"%X", b"0%x", b"00000000000000000000%x"]),
    st.sampled_from([b"-%x", b"0x%x", b" %x", b"f%x"]),
)
_TRAILERS: Final = mostly(
    st.sampled_from([[], [b"A: b\r\n"], [b"A:\r\n", b"B: \xe9\r\n"]]),
    st.sampled_from([[b"A b\r\n"], [b": b\r\n"], [b"A: \x00\r\n"], [b"A: b\n"], [b"A: b\r\n"] * 6]),
)


@st.composite
def _chunked(draw: st.DrawFn) -> bytes:
    parts = []
    for content in [*draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4)), b""]:
        end = draw(_LINE_END) if content else b""
        parts.append(draw(_SIZES) % len(content) + draw(_EXTENSIONS) + draw(_LINE_END) + content + end)
    return b"".join([*parts, *draw(_TRAILERS), draw(_LINE_END), draw(st.binary(max_size=3))])


CHUNKED: Final = st.one_of(_chunked(), _chunked(), st.binary(max_size=30))
_CHUNK_FRAGMENTS: Final = st.sampled_from([b"1\r\na\r\n", b"0", b";a=b", b"\r\n", b"f", b"A: b\r\n", b'"', b"\\", b" "])


def _decode_in_pieces(pieces: list[bytes]) -> Any:
    """Return the body and the number of bytes that it took; None if it is not complete, or the refusal's class."""
    decoder, body, taken = ChunkedBody(LIMITS), bytearray(), 0
    try:
        for piece in pieces:
            position = 0
            while position < len(piece) and not decoder.is_complete:
                position = decoder.feed(piece, position, body)
            taken += position
            if decoder.is_complete:
                return bytes(body), taken
    except Refused:
        return Refused
    return None


def reference_chunks(data: bytes) -> Any:
    """Decode a complete chunked body, one line after the other; None if there is none."""
    body, position, n_extension, n_trailer = b"", 0, 0, 0
    while True:
        end = data.find(b"\r\n", position)
        line = data[position:end] if end >= 0 else b""
        size = re.match(rb"[0-9A-Fa-f]+", line)
        n_extension += max(len(line) - 8, 0)
        if size is None or not _is_extension(line[size.end() :]) or n_extension > LIMITS.max_chunk_extension_bytes:
            return None
        n_bytes, position = int(size[0], 16), end + 2
        if not n_bytes:
            break
        body += data[position : position + n_bytes]
        position += n_bytes
        if data[position : position + 2] != b"\r\n" or len(body) > LIMITS.max_body_bytes:
            return None
        position += 2
    while data[position : position + 2] != b"\r\n":
        end = data.find(b"\r\n", position)
        name, colon, value = data[position:end].partition(b":") if end >= 0 else (b"", b"", b"")
        n_trailer += len(name + colon + value) + 2
        if not (name and colon and set(name) <= _TOKEN) or any(
            (each < 0x20 and each != 9) or each == 127 for each in value
        ):
            return None
        position = end + 2
    return (body, position + 2) if n_trailer <= LIMITS.max_trailer_bytes else None


def _is_extension(text: bytes) -> bool:
    quoted = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
    token = rb"[%b]+" % re.escape(bytes(sorted(_TOKEN)))
    return bool(re.fullmatch(rb"(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*" % (token, token, quoted), text))


def _decodes_as_the_slow_reader(data: bytes) -> None:
    found, expected = _decode_in_pieces([data]), reference_chunks(data)
    assert (found if isinstance(found, tuple) else None) == expected


def _is_decoded_alike_in_pieces(drawn: tuple[bytes, list[int]]) -> None:
    data, cuts = drawn
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in pairwise(places)]
    assert _decode_in_pieces(pieces) == _decode_in_pieces([data])


_CUTS: Final = st.lists(st.integers(0, 120), max_size=6)
HEAD_PROPERTIES: Final = [
    Property("accepts what the RFC allows", HEADS, _accepts_what_the_rfc_allows),
    Property("the probe refuses no valid head", st.tuples(HEADS, _CUTS), _probe_refuses_no_valid_head),
]
CHUNK_PROPERTIES: Final = [
    Property("decodes as the slow reader does", CHUNKED, _decodes_as_the_slow_reader),
    Property("is decoded alike in pieces", st.tuples(CHUNKED, _CUTS), _is_decoded_alike_in_pieces),
    Property(
        "takes linear time",
        pumped(_CHUNK_FRAGMENTS),
        lambda text: assert_linear(lambda data: _decode_in_pieces([data]), text),
    ),
]
