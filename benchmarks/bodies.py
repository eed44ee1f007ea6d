"""Measures how long request bodies block a gateway's event loop, and how long it takes to read them.

    python -m benchmarks.bodies

For each body, in milliseconds: the CPU time to read it in one call, which would block the event loop; and, read as a
gateway reads it, the time until it is read and the longest CPU time that the event loop was blocked, for one body and
for five at a time. CPU time is measured, because other processes delay the event loop.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import uvloop

from api.http.large_bodies import LargeBodies
from api.http.rows import BodyReader
from shared.card import ModelCard
from shared.errors import InvalidRows, MalformedJson
from tests.bodies import an_object, array, body
from tests.unit.api.http.cards import CARDS

MEGABYTE: Final = 2**20
MAX_ROWS: Final = 10_000
CONCURRENT_READS: Final = 5
TICK_SECONDS: Final = 0.001

BODIES: Final[dict[str, tuple[str, bytes]]] = {
    "1 row": ("penguins", body(array("penguins"))),
    "64 KB of rows": ("iris", body(*["[1,2,3,4]"] * 5_900)),
    "10,000 rows": ("iris", body(*[array("iris")] * MAX_ROWS)),
    "10,000 rows, read step by step": ("penguins", body(*[an_object("penguins", year="2007.0")] * MAX_ROWS)),
    "an error in the last of 10,000 rows": ("penguins", body(*[array("penguins")] * (MAX_ROWS - 1), "[1]")),
    "8 MB of digits in 10,000 rows": ("iris", body(*[f"[{','.join(['1.' + '3' * 190] * 4)}]"] * MAX_ROWS)),
    "a million numbers in a row": ("iris", b'{"data":[[' + b"1.25," * 999_999 + b"1]]}"),
    "a million numbers in many rows": ("iris", b'{"data":[' + b"[1,2,3,4]," * 249_999 + b"[1,2,3,4]]}"),
    "100,000 levels": ("iris", b'{"data":' + b"[" * 100_000),
    "8 MB of objects": ("iris", b'{"data":[' + b"{}," * (8 * MEGABYTE // 3 - 10) + b"{}]}"),
    "8 MB of arrays in a value": ("iris", b'{"data":[[1,2,3,[' + b"[]," * (8 * MEGABYTE // 3 - 10) + b"[]]]]}"),
    "8 MB of one repeated member": ("penguins", body("{" + '"year":1,' * (8 * MEGABYTE // 9 - 10) + '"year":1}')),
    "8 MB of text": ("texts", body(*['"' + "x" * 800 + '"'] * MAX_ROWS)),
}


def main() -> None:
    """Measure and print."""
    uvloop.run(_measure_bodies())


async def _measure_bodies() -> None:
    large_bodies = LargeBodies(MAX_ROWS, MEGABYTE, 2 * CONCURRENT_READS * 8 * MEGABYTE)
    await large_bodies.read(body(array("iris")), CARDS["iris"])  # starts the process
    print(f"{'':36} {'MB':>5} {'at once':>9} {'read':>9} {'held':>8} {f'{CONCURRENT_READS} read':>9} {'held':>8}   ms")
    for name, (model, content) in BODIES.items():
        card = CARDS[model]
        reader = BodyReader(MAX_ROWS, MEGABYTE)
        with suppress(InvalidRows, MalformedJson):
            reader(b"null", card)  # prepares it for the card
        in_one_call = _time_call(lambda: reader(content, card))  # noqa: B023 - called at once
        one = await _measure_reading(large_bodies, reader, content, card, 1)
        many = await _measure_reading(large_bodies, reader, content, card, CONCURRENT_READS)
        times = f"{in_one_call:9.1f} {one[0]:9.1f} {one[1]:8.1f} {many[0]:9.1f} {many[1]:8.1f}"
        print(f"{name:36} {len(content) / 1e6:5.2f} {times}")
    await large_bodies.close()


async def _measure_reading(
    large_bodies: LargeBodies, reader: BodyReader, content: bytes, card: ModelCard, n_copies: int
) -> tuple[float, float]:
    """Read several copies of a body concurrently; return the time and the longest blocking of the loop, in ms."""

    async def read() -> None:
        with suppress(InvalidRows, MalformedJson):
            if reader.read_if_small(content, card) is None:
                await large_bodies.read(content, card)

    blocked = [0.0]
    ticker = asyncio.create_task(_record_blocking(blocked))
    await asyncio.sleep(10 * TICK_SECONDS)
    began = time.perf_counter()
    await asyncio.gather(*(read() for _ in range(n_copies)))
    took = time.perf_counter() - began
    await asyncio.sleep(2 * TICK_SECONDS)
    ticker.cancel()
    return took * 1000, max(blocked) * 1000


async def _record_blocking(blocked_seconds: list[float]) -> None:
    last = time.thread_time()
    while True:
        await asyncio.sleep(TICK_SECONDS)
        now = time.thread_time()
        blocked_seconds.append(now - last)
        last = now


def _time_call(read: Callable[[], object]) -> float:
    began = time.thread_time()
    with suppress(InvalidRows, MalformedJson):
        read()
    return (time.thread_time() - began) * 1000


if __name__ == "__main__":
    main()
