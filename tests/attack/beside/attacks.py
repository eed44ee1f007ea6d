"""The continuous attacks: what each connection of an attacker does, and how many there are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.attack.cases.build import CHUNKED, HOST, JSON, chunk, get, head, post

_MIB: Final = 1024 * 1024
_BLOCK: Final = b"x" * (64 * 1024)
_DEEP: Final = b"[" * 100_000 + b"]" * 100_000


@dataclass(frozen=True)
class Attack:
    """One kind of attacker."""

    what: str
    sends: Callable[[], Iterator[bytes]]
    """Yields the parts that a connection sends."""
    connections: int = 1
    """The number of open connections; one that ends is replaced."""
    every: float = 0
    """Seconds between two parts."""
    reads: bool = True
    """Whether responses are read."""
    repeats: bool = False
    """Whether a connection sends everything again after the response."""
    responses: int = 1
    """The number of responses expected."""
    hangs_up: int = 0
    """Close after so many bytes of a response; 0: never."""
    per_second: int = 0
    """New connections per second; 0: only replacements for ended ones."""
    holds: bool = False
    """Whether the connections stay until the gateway ends them, which its limits must do."""


def _silence() -> Iterator[bytes]:
    yield from ()


def _slow_head() -> Iterator[bytes]:
    yield get()[:-2]
    yield b"X: "
    while True:
        yield b"y"


def _slow_body() -> Iterator[bytes]:
    yield head(b"POST /predict HTTP/1.1", HOST, JSON, b"Content-Length: 1000000")
    while True:
        yield b" "


def _unread() -> Iterator[bytes]:
    yield get(b"/openapi.json") * 1000


def _large_header() -> Iterator[bytes]:
    yield get()[:-2] + b"X: "
    for _ in range(64 * _MIB // len(_BLOCK)):
        yield _BLOCK


def _chunks() -> Iterator[bytes]:
    yield head(b"POST /predict HTTP/1.1", HOST, JSON, CHUNKED)
    part = chunk(_BLOCK)
    for _ in range(64 * _MIB // len(_BLOCK)):
        yield part


def _tiny_chunks() -> Iterator[bytes]:
    yield head(b"POST /predict HTTP/1.1", HOST, JSON, CHUNKED)
    part = chunk(b" ") * 10_000
    for _ in range(8 * _MIB // 10_000):
        yield part


def _large_json() -> Iterator[bytes]:
    yield _numbers()


def _deep_json() -> Iterator[bytes]:
    yield _DEEP_REQUEST


def _long_prefer() -> Iterator[bytes]:
    yield post(b'{"data":[[1,2,3,4]]}', b"Prefer: " + b"a=b, " * 1500)


def _schema() -> Iterator[bytes]:
    yield get(b"/openapi.json")


def _many_schemas() -> Iterator[bytes]:
    yield get(b"/openapi.json") * 100


_DEEP_REQUEST: Final = post(b'{"data":' + _DEEP + b"}")
_NUMBERS: Final[list[bytes]] = []


def _numbers() -> bytes:
    """Return a request whose body is 8 MB of numbers; it is made at the first call."""
    if not _NUMBERS:
        _NUMBERS.append(post(b'{"data":[' + b"[1,2,3,4]," * 800_000 + b"[1,2,3,4]]}"))
    return _NUMBERS[0]


ATTACKS: Final[dict[str, Attack]] = {
    "silence": Attack("300 connections that say nothing", _silence, 300, holds=True),
    "slow-heads": Attack("300 heads, a byte each second", _slow_head, 300, every=1, holds=True),
    "slow-bodies": Attack("300 bodies, a byte each second", _slow_body, 300, every=1, holds=True),
    "unread": Attack("300 connections that read no response", _unread, 300, reads=False, holds=True),
    "large-header": Attack("a header of 64 MB, again and again", _large_header),
    "large-headers": Attack("20 headers of 64 MB at a time", _large_header, 20),
    "chunks": Attack("chunked bodies of 64 MB", _chunks, 4),
    "tiny-chunks": Attack("chunked bodies of 8 MB, a byte in a chunk", _tiny_chunks, 4),
    "large-json": Attack("20 bodies of 8 MB of JSON at a time", _large_json, 20, repeats=True),
    "deep-json": Attack("JSON of 100,000 levels", _deep_json, 4, repeats=True),
    "hang-ups": Attack("500 clients a second that hang up in a response", _schema, 500, hangs_up=1000, per_second=500),
    "schema": Attack("GET /openapi.json as fast as it goes", _schema, 4, repeats=True),
    "schema-pipelined": Attack("GET /openapi.json, 100 in a packet", _many_schemas, 4, repeats=True, responses=100),
    "prefer": Attack("predictions with a Prefer of 7.5 kB", _long_prefer, 4, repeats=True),
}
"""The attacks, by the names that `--only` accepts."""
